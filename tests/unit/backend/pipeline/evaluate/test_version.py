from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend.pipeline.evaluate import version as module
from backend.pipeline.evaluate.chosen_cases import Split
from backend.pipeline.evaluate.options import EvaluationOptions
from backend.pipeline.evaluate.reference_files import common_classes
from backend.pipeline.evaluate.version import default_out, evaluate_version
from backend.store.models import VersionRow
from backend.store.training import runs
from converters.bookkeeping.documents import write_document
from converters.label_studio.config.label_config import parse_label_config
from domain.case import Manifest, ManifestEntry, case_id_of_task
from domain.errors import PredictionError
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.documents import run_manifest
from tests.fakes.label_studio import CONFIG, polygon
from training.case_files import write_case
from training.presets import TINY
from training.versions.case_predictions import CaseToPredict, Failure
from training.versions.version_folder import VersionInfo


class Networks:
    """In the place of the child process: paints lumen on the square the tests label, moved."""

    def __init__(self) -> None:
        self.asked: list[CaseToPredict] = []
        self.fails: set[str] = set()

    def __call__(
        self,
        version_dir: Path,
        cases: Sequence[CaseToPredict],
        out: Path,
        *,
        device: str,
        integers: Sequence[int],
        on_case: Callable[[], None],
    ) -> tuple[Failure, ...]:
        out.mkdir(parents=True, exist_ok=True)
        for case in cases:
            self.asked.append(case)
            assert case.workspace.image_png(case.case_id).exists()
            if case.case_id not in self.fails:
                predicted = np.zeros((40, 48), np.uint8)
                predicted[8:24, 12:30] = integers[1]
                Image.fromarray(predicted).save(out / f"{case.case_id}.png")
            on_case()
        return tuple(Failure(c.case_id, "No.") for c in cases if c.case_id in self.fails)


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Networks:
    fake = Networks()
    monkeypatch.setattr(module, "predict_cases", fake)
    return fake


def add_version(app: FakeApp, *folds: int, n_folds: int = 2, **fields: Any) -> None:
    """Version 1, trained on tasks 1, 2, ... with these folds; their images are on disk."""
    workspace = app.context.workspace(PROJECT)
    entries = []
    for task_id, fold in enumerate(folds, start=1):
        case_id = case_id_of_task(task_id)
        blank = np.zeros((40, 48), np.uint8)
        write_case(workspace, case_id, blank, blank, n_channels=1)
        entries.append(ManifestEntry(case_id, task_id, task_id, "hash", case_id, fold))
    manifest = Manifest(tuple(entries), class_values=("lumen", "wall"), n_folds=n_folds)
    app.add_version(1, manifest=run_manifest(manifest), **fields)
    info = VersionInfo(
        "nnloop-v1", ("lumen", "wall"), 1, TINY, tuple(sorted({*folds})), {"torch": "2"}
    )
    write_document(workspace.version_dir("nnloop-v1") / "version.json", VersionInfo, info)


@pytest.fixture
def labelled(app: FakeApp) -> FakeApp:
    """Version 1 of tasks 1 and 2; task 3 was labelled since, task 4 not at all."""
    app.add_tasks(1, 2, 3, 4)
    for task_id in (1, 2, 3):
        app.label_studio.label(task_id, polygon("lumen"))
    add_version(app, 0, 1)
    return app


def evaluated(app: FakeApp, out: Path, **more: Any) -> Any:
    return evaluate_version(
        app.context, PROJECT, EvaluationOptions(out, workers=1, n_worst=1), **more
    )


def test_held_out_cases_against_annotations_as_they_are_now(
    labelled: FakeApp, networks: Networks, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    labelled.change_settings(min_annotations=1, retrain_after=1)
    found = evaluated(labelled, out)
    assert [(c.case_id[-1], c.fold) for c in networks.asked] == [("1", 0), ("2", 1)]
    first = found.classes[0]
    assert (first.class_value, first.n_both, found.classes[1].n_neither) == ("lumen", 2, 2)
    truth = np.asarray(Image.open(out / "reference" / "task_00000001.png"))
    assert (truth == 1).any()
    predicted = np.zeros_like(truth)
    predicted[8:24, 12:30] = 1
    both = ((truth == 1) & (predicted == 1)).sum()
    assert found.cases[0].classes[0].dice == pytest.approx(
        2 * both / ((truth == 1).sum() + predicted.sum())
    )
    # The annotation changes: so does the answer, without a training in between.
    labelled.label_studio.unlabel(1)
    labelled.label_studio.label(1)
    labelled.label_studio.unlabel(2)
    (out / "predictions" / "mine.png").touch()
    again = evaluated(labelled, out)
    assert [c.case_id for c in again.cases] == ["task_00000001"]
    assert again.cases[0].classes[0].presence == "invented"
    assert [(p.case_id, p.reason) for p in again.problems] == [("task_00000002", "not_labelled")]
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["version"], summary["project_id"]) == ("nnloop-v1", PROJECT)
    # Only looked at: no training is started by it, however much has changed.
    assert labelled.jobs == []
    with labelled.store.begin() as session:
        assert runs.active_run(session, PROJECT) is None
    # What the report is about stays, so that it can be evaluated again as folders.
    assert sorted(p.name for p in (out / "predictions").iterdir()) == [
        "mine.png",
        "task_00000001.png",
    ]
    assert json.loads((out / "classes.json").read_text()) == {
        "background": 0,
        "lumen": 1,
        "wall": 2,
    }


def test_pixels_that_are_ignored_now_count_in_no_measure(
    labelled: FakeApp, networks: Networks, tmp_path: Path
) -> None:
    """Of a version that learned, when there was no such setting, what is ignored now as a class."""
    labelled.change_settings(ignore_label="wall")
    labelled.label_studio.unlabel(1)
    labelled.label_studio.label(1, polygon("lumen"), polygon("wall", at=40))
    labelled.label_studio.unlabel(2)
    labelled.label_studio.label(2, polygon("lumen"))
    found = evaluated(labelled, tmp_path)
    first, whole = (
        np.asarray(Image.open(tmp_path / "reference" / f"task_0000000{k}.png")) for k in (1, 2)
    )
    assert set(np.unique(first).tolist()) == {0, 1, 2} and (whole != 2).all()
    predicted = np.zeros_like(first)
    predicted[8:24, 12:30] = 1
    dice = {}
    for name, truth in (("task_00000001", first), ("task_00000002", whole)):
        known = truth != 2
        both = int(((truth == 1) & (predicted == 1) & known).sum())
        sizes = int((truth == 1).sum()) + int(((predicted == 1) & known).sum())
        dice[name] = 2 * both / sizes
    assert ((first == 2) & (predicted == 1)).any()
    assert {c.case_id: c.classes[0].dice for c in found.cases} == pytest.approx(dice)
    assert [row.class_value for row in found.classes] == ["lumen"]
    assert any("wall" in remark and "Not compared" in remark for remark in found.remarks)
    said = json.loads((tmp_path / "classes.json").read_text())
    assert said == {"background": 0, "lumen": 1, "(ignored)": 2}


def test_new_tasks_are_fetched_and_go_to_all_folds(
    labelled: FakeApp, networks: Networks, tmp_path: Path
) -> None:
    found = evaluated(labelled, tmp_path / "out", split=Split.NEW)
    assert [(c.case_id, c.fold) for c in networks.asked] == [(labelled.case_id(3), None)]
    assert labelled.label_studio.fetched == [3]
    assert len(found.cases) == 1
    # The training set is not touched.
    assert not labelled.context.workspace(PROJECT).image_png(labelled.case_id(3)).exists()


def test_what_can_not_be_predicted_or_read_is_a_problem(
    labelled: FakeApp, networks: Networks, tmp_path: Path
) -> None:
    networks.fails = {"task_00000001"}
    del labelled.label_studio.images["/data/upload/3.png"]
    found = evaluated(labelled, tmp_path / "out", split=Split.ALL)
    assert [c.case_id for c in found.cases] == ["task_00000002"]
    assert {(p.case_id, p.reason) for p in found.problems} == {
        ("task_00000001", "prediction_failed"),
        (labelled.case_id(3), "unreadable"),
    }


def test_without_label_studio_the_last_reading_counts(
    labelled: FakeApp, networks: Networks, tmp_path: Path
) -> None:
    evaluated(labelled, tmp_path / "out")
    labelled.label_studio.is_down = True
    found = evaluated(labelled, tmp_path / "out")
    assert len(found.cases) == 2
    assert "are those read at" in found.remarks[0]


def test_the_projects_spacing_makes_millimetres(
    labelled: FakeApp, networks: Networks, tmp_path: Path
) -> None:
    labelled.change_settings(pixel_spacing_mm=[0.5, 0.25])
    found = evaluated(labelled, tmp_path / "out")
    assert found.cases[0].spacing_mm == (0.5, 0.25)
    assert found.unit == "mm"


def test_versions_that_can_not_be_evaluated_say_why(
    app: FakeApp, networks: Networks, tmp_path: Path
) -> None:
    with pytest.raises(PredictionError, match="serves yet"):
        evaluated(app, tmp_path)
    add_version(app, 0, 0, n_folds=1)
    with pytest.raises(PredictionError, match="no version 'v9'") as error:
        evaluated(app, tmp_path, version="v9")
    assert "nnloop-v1" in error.value.remedy
    with pytest.raises(PredictionError, match="all of its cases"):
        evaluated(app, tmp_path, split=Split.OOF)
    with app.store.begin() as session:
        session.query(VersionRow).one().pruned_at = 1.0
    with pytest.raises(PredictionError, match="removed to free space"):
        evaluated(app, tmp_path)


def test_nothing_to_evaluate_is_an_empty_report(
    app: FakeApp, networks: Networks, tmp_path: Path
) -> None:
    add_version(app, 0, 0, n_folds=1)
    found = evaluated(app, tmp_path)
    assert found.cases == ()
    assert "trained on all of its cases" in found.remarks[0]
    assert evaluated(app, tmp_path, split=Split.NEW).remarks == ()
    assert networks.asked == []


def test_the_folder_is_named_by_version_and_split(labelled: FakeApp) -> None:
    folder = labelled.context.workspace(PROJECT).folder / "evaluations"
    assert default_out(labelled.context, PROJECT, None, None) == folder / "nnloop-v1"
    assert default_out(labelled.context, PROJECT, None, Split.NEW) == folder / "nnloop-v1-new"


def test_classes_are_matched_by_name() -> None:
    config = parse_label_config(CONFIG)
    same = common_classes("v", ("lumen", "wall"), config)
    assert (same.names, same.integers, same.remarks) == ({1: "lumen", 2: "wall"}, (0, 1, 2), ())
    moved = common_classes("v", ("plaque", "wall"), config)
    assert (moved.names, moved.integers) == ({2: "wall"}, (0, 0, 2))
    assert [c.index for c in moved.config.group.classes] == [1]
    assert "v does not know it: lumen" in moved.remarks[0]
    assert "the project does not know it: plaque" in moved.remarks[1]
    with pytest.raises(PredictionError, match="none of them"):
        common_classes("v", ("plaque",), config)
