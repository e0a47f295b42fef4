"""The figures of the demo, from predictions as the fake Label Studio holds them."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from backend.demo.figures import measure
from backend.demo.label_config import LABEL_CONFIG
from backend.demo.vessel import LUMEN
from backend.label_studio import LabelStudioClient, PushedPrediction
from backend.pipeline.models.version_report import VersionReport
from backend.pipeline.runs.run_report import RunReport
from backend.pipeline.status import ProjectReport
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.write import regions_to_result
from converters.outlines.vectorize import vectorize
from domain.geometry import LabelMap
from domain.states import VersionOrigin, VersionStatus
from tests.unit.converters.shapes import size_of

CONFIG = parse_label_config(LABEL_CONFIG)
VERSION = VersionReport(
    name="nnloop-v1",
    status=VersionStatus.CHAMPION,
    run=1,
    labels=2,
    oof_dice={"lumen": 0.8, "wall": None},
    gate="the first version that serves",
    scored=3,
    published=3,
    failed=0,
    promoted_at=0.0,
    published_at=0.0,
    origin=VersionOrigin.TRAINED,
)


class Held:
    """What was pushed, as ``LabelStudioClient`` reads it back."""

    def __init__(self, rows: list[PushedPrediction]) -> None:
        self.rows = rows

    def iter_predictions(self, project_id: int, model_version: str) -> list[PushedPrediction]:
        return [row for row in self.rows if row.model_version == model_version]


def _lumen(width: int) -> LabelMap:
    label_map = np.zeros((40, 60), np.uint8)
    label_map[10:30, 10 : 10 + width] = LUMEN
    return label_map


def test_images_without_a_class_say_nothing_about_it() -> None:
    shown, empty = _lumen(20), _lumen(0)
    truth = {1: shown, 2: empty, 3: empty, 4: shown}
    pushed = {1: shown, 2: empty, 3: _lumen(20), 4: _lumen(10)}
    rows = [
        PushedPrediction(
            task_id,
            regions_to_result(
                vectorize(label_map, (1, 2), tolerance_px=0), CONFIG, size_of(label_map)
            ),
            score,
            VERSION.name,
        )
        for (task_id, label_map), score in zip(pushed.items(), (0.9, 1.0, 0.2, 0.5), strict=True)
    ]
    # Only what `measure` reads.
    of_project: dict[str, Any] = {"id": 1, "versions": (VERSION,)}
    of_run: dict[str, Any] = {"number": 1, "seconds": {}}
    report = ProjectReport.model_construct(**of_project)
    run = RunReport.model_construct(**of_run)
    client = cast(LabelStudioClient, Held(rows))
    found = measure(client, report, run, CONFIG, truth)
    # Task 2, left empty, is in no mean; in task 3 a lumen was invented.
    assert found.pool_dice["lumen"] == pytest.approx((1 + 0 + 2 / 3) / 3, abs=1e-6)
    assert found.pool_dice["wall"] is None
    assert found.oof_dice == {"lumen": 0.8, "wall": None}
    # By their own figures (1, 1, 0, 2/3) the images come in about the order of their scores.
    assert found.score_rank_correlation is not None and found.score_rank_correlation > 0.9
    assert '"wall":null' in found.model_dump_json()
