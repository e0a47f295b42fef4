"""A version evaluated by its real networks, in the child process that the command line starts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backend.pipeline.evaluate.chosen_cases import Split
from backend.pipeline.evaluate.options import EvaluationOptions
from backend.pipeline.evaluate.version import evaluate_version
from backend.store import Store
from backend.store.models import ProjectRow
from converters.bookkeeping.files import read_json
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.write import regions_to_result
from converters.outlines.vectorize import vectorize
from domain.case import Manifest, ManifestEntry, case_id_of_task
from domain.errors import PredictionError
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import run_manifest
from tests.integration.training.conftest import Trained
from tests.integration.training.discs import CLASS_VALUES, disc_image
from tests.unit.converters.shapes import size_of
from training.case_files import read_image
from training.versions.case_predictions import CaseToPredict, predict_cases

CONFIG = (
    '<View><Image name="image" value="$image"/><PolygonLabels name="label" toName="image">'
    '<Label value="disc"/><Label value="square"/><Label value="Ignore"/></PolygonLabels></View>'
)
NEW, OPEN = 50, 51
"""Tasks labelled after the training, with pixels that were left open; of the second one all."""
IGNORED = 3


@pytest.fixture
def app(trained: Trained, tmp_path: Path) -> Iterator[FakeApp]:
    """The trained version in a project, its 14 images drawn exactly as they were for training."""
    store = Store(f"sqlite:///{tmp_path / 'empty.db'}", tmp_path)
    store.migrate()
    store.close()
    app = FakeApp(tmp_path, tmp_path / "empty.db")
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).label_config = CONFIG
    app.label_studio.info = replace(app.label_studio.info, label_config=CONFIG)
    workspace = app.context.workspace(PROJECT)
    shutil.copytree(trained.workspace.raw_dataset, workspace.raw_dataset)
    config = parse_label_config(CONFIG)
    for task_id in (*range(14), NEW):
        image, labels = disc_image(task_id)
        app.label_studio.add_task(task_id, image)
        regions = vectorize(labels, (1, 2), tolerance_px=0)
        drawn = regions_to_result(regions, config, size_of(labels))
        if task_id == NEW:  # the left half can't be judged
            drawn.append(_ignored(50.0))
        app.label_studio.label(task_id, *drawn)
    app.label_studio.add_task(OPEN, disc_image(OPEN)[0])
    app.label_studio.label(OPEN, _ignored(100.0))
    app.change_settings(ignore_label="Ignore")
    folds = {
        case_id: outcome.fold for outcome in trained.outcomes for case_id in outcome.dice_per_case
    }
    entries = tuple(
        ManifestEntry(case_id_of_task(i), i, i, "", str(i), folds[case_id_of_task(i)])
        for i in range(14)
    )
    manifest = Manifest(entries, class_values=CLASS_VALUES, n_folds=2)
    app.add_version(1, manifest=run_manifest(manifest), path=str(trained.version_dir))
    yield app
    app.store.close()


def _ignored(width: float) -> dict[str, Any]:
    """So many percent of an image, from its left border on."""
    corners = [[0.0, 0.0], [width, 0.0], [width, 100.0], [0.0, 100.0]]
    value = {"points": corners, "polygonlabels": ["Ignore"]}
    return {
        "id": "open", "type": "polygonlabels", "from_name": "label", "to_name": "image",
        "original_width": 96, "original_height": 96, "value": value,
    }  # fmt: skip


def test_the_dice_are_those_of_training(app: FakeApp, trained: Trained, tmp_path: Path) -> None:
    known = {
        case_id: dict(dice)
        for outcome in trained.outcomes
        for case_id, dice in outcome.dice_per_case.items()
    }
    # In one call: the networks take a quarter of a minute to load.
    found = evaluate_version(
        app.context,
        PROJECT,
        EvaluationOptions(tmp_path / "out", workers=1, n_worst=2),
        split=Split.ALL,
    )
    # Of a version that learned when every pixel was known.
    [problem] = found.problems
    assert problem.case_id == app.case_id(OPEN) and "all of its pixels are ignored" in (
        problem.message
    )
    name = f"{app.case_id(NEW)}.png"
    reference, predicted = (
        read_image(tmp_path / "out" / folder / name) for folder in ("reference", "predictions")
    )
    half = reference.shape[1] // 2
    assert (reference[:, :half] == IGNORED).all() and not (reference[:, half:] == IGNORED).any()
    assert (predicted[:, :half] > 0).any()  # a network predicts there all the same
    [measured] = [case for case in found.cases if case.case_id == app.case_id(NEW)]
    for one, k in zip(measured.classes, (1, 2), strict=True):
        drawn, found_there = reference[:, half:] == k, predicted[:, half:] == k
        sizes = int(drawn.sum()) + int(found_there.sum())
        both = int((drawn & found_there).sum())
        assert one.dice == (pytest.approx(2 * both / sizes) if sizes else None)
    dice = {c.case_id: {one.class_value: one.dice for one in c.classes} for c in found.cases}
    # One that was labelled since is predicted by all folds.
    dice.pop(app.case_id(NEW))
    assert dice.keys() == known.keys()
    for case_id, values in known.items():
        # Another engine may decide a pixel of equal probabilities otherwise.
        assert dice[case_id] == pytest.approx(values, abs=0.005), case_id
    assert read_json(tmp_path / "out" / "summary.json")["n_cases"] == 15
    assert len(list((tmp_path / "out" / "overlays").iterdir())) == 2


def test_a_broken_version_is_one_sentence(trained: Trained, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(trained.version_dir, broken)
    for checkpoint in broken.rglob("*.pth"):
        checkpoint.chmod(0o644)
        checkpoint.write_bytes(b"no weights")
    workspace = trained.workspace
    cases = [CaseToPredict(str(workspace.root), workspace.project_id, "task_00000000", 0)]
    with pytest.raises(PredictionError, match="can't be loaded"):
        predict_cases(broken, cases, tmp_path / "out", device="cpu", integers=(0, 1, 2))


def test_a_missing_image_fails_its_case_alone(trained: Trained, tmp_path: Path) -> None:
    workspace = trained.workspace
    cases = [
        CaseToPredict(str(workspace.root), workspace.project_id, name, None)
        for name in ("task_00009999", "task_00000001")
    ]
    seen: list[int] = []
    failures = predict_cases(
        trained.version_dir,
        cases,
        tmp_path / "out",
        device="cpu",
        integers=(0, 1, 2),
        on_case=lambda: seen.append(1),
    )
    assert [f.case_id for f in failures] == ["task_00009999"]
    assert "missing" in failures[0].message
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["task_00000001.png"]
    assert len(seen) == 2
