from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from converters.bookkeeping.files import read_json
from training.case_files import CaseFiles, write_case
from training.nnunet.data.dataset import DatasetSpec, PreparedDataset, prepare
from training.nnunet.data.index import PlannedFor, arrays_folder
from training.nnunet.data.plans import preprocessing_key
from training.presets import TINY, Preset
from training.workspace import Workspace

# Small enough to plan in 0.1 s; images are not resampled unless they are larger.
PRESET = dataclasses.replace(TINY, min_image_side=None, max_image_side=64, max_patch_side=64)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, 1)


def write(workspace: Workspace, number: int, side: int = 32) -> CaseFiles:
    image = np.random.default_rng(number).integers(1, 255, (side, side)).astype(np.uint8)
    labels = np.zeros((side, side), np.uint8)
    labels[4:20, 4:20] = 1
    return write_case(workspace, f"task_{number:03d}", image, labels, n_channels=1)


def run(
    workspace: Workspace,
    cases: list[CaseFiles],
    *,
    preset: Preset = PRESET,
    replan: bool = False,
) -> PreparedDataset:
    folds = {case.case_id: i % 2 for i, case in enumerate(cases)}
    return prepare(workspace, cases, folds, DatasetSpec(("a",), 1, preset), replan=replan)


def spacing(workspace: Workspace) -> list[float]:
    plans = read_json(workspace.preprocessed_dataset / "plans.json")
    found: list[float] = plans["configurations"]["2d"]["spacing"]
    return found


@pytest.mark.parametrize(
    ("planned", "now", "reason"),
    [
        (PlannedFor(10, 100, 100), PlannedFor(40, 150, 67), ""),
        (PlannedFor(10, 100, 100), PlannedFor(41, 100, 100), "there are 41 cases"),
        (PlannedFor(10, 100, 100), PlannedFor(10, 100, 151), "100 x 151 pixels"),
        (PlannedFor(10, 100, 100), PlannedFor(10, 66, 100), "66 x 100 pixels"),
        # Fewer cases than planned for: the plans saw more, not less.
        (PlannedFor(100, 100, 100), PlannedFor(2, 100, 100), ""),
    ],
)
def test_when_plans_are_outgrown(planned: PlannedFor, now: PlannedFor, reason: str) -> None:
    found = planned.outgrown_by(now)
    assert (reason in found) if reason else not found


def test_larger_images_are_planned_for_and_made_anew(workspace: Workspace) -> None:
    first = run(workspace, [write(workspace, i) for i in range(2)])
    assert (first.planned, first.replanned) == (True, "")
    assert spacing(workspace) == [1.0, 1.0]
    # One larger image does not move the median far enough, three do.
    cases = [write(workspace, i, 128 if i > 1 else 32) for i in range(3)]
    assert run(workspace, cases).preprocessed == ("task_002",)
    cases = [write(workspace, i, 128 if i > 1 else 32) for i in range(5)]
    grown = run(workspace, cases)
    assert "128 x 128 pixels, planned for were 32 x 32" in grown.replanned
    assert spacing(workspace) == [2.0, 2.0]
    assert len(grown.preprocessed) == 5
    assert not run(workspace, cases).planned


def test_a_set_that_grew_keeps_arrays_that_stay_the_same(workspace: Workspace) -> None:
    run(workspace, [write(workspace, i) for i in range(2)])
    assert not run(workspace, [write(workspace, i) for i in range(8)]).planned
    before = {path.name: path.stat().st_mtime_ns for path in arrays_folder(workspace).iterdir()}
    cases = [write(workspace, i) for i in range(9)]
    grown = run(workspace, cases)
    assert grown.planned
    assert grown.replanned == "there are 9 cases, planned for were 2"
    assert grown.preprocessed == ("task_008",)
    after = {path.name: path.stat().st_mtime_ns for path in arrays_folder(workspace).iterdir()}
    assert after.items() >= before.items()
    assert not run(workspace, cases).planned


def test_on_request(workspace: Workspace) -> None:
    cases = [write(workspace, i) for i in range(2)]
    run(workspace, cases)
    assert run(workspace, cases).replanned == ""
    asked = run(workspace, cases, replan=True)
    assert (asked.planned, asked.replanned, asked.preprocessed) == (True, "asked for", ())


def test_the_reason_says_what_changed(
    workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    cases = [write(workspace, i) for i in range(2)]
    run(workspace, cases)
    with caplog.at_level("INFO"):
        other = run(workspace, cases, preset=dataclasses.replace(PRESET, max_patch_side=32))
    assert other.replanned == "changed: the preset's plan"
    assert len(other.preprocessed) == 2
    assert "new plans, changed: the preset's plan" in caplog.text


@pytest.mark.slow
def test_killed_between_new_plans_and_new_arrays(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies on disk then was made by other plans and must not be trusted."""
    cases = [write(workspace, i) for i in range(2)]
    run(workspace, cases)
    large = [write(workspace, i, 128) for i in range(2, 7)]

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("training.nnunet.data.dataset.check_free", killed)
        with pytest.raises(KeyboardInterrupt):
            run(workspace, cases + large)
    assert spacing(workspace) == [2.0, 2.0]
    assert len(run(workspace, cases + large).preprocessed) == 7


@pytest.mark.parametrize(
    ("scheme", "counts"), [("ZScoreNormalization", False), ("CTNormalization", True)]
)
def test_arrays_depend_on_intensities_where_their_normalisation_does(
    workspace: Workspace, scheme: str, counts: bool
) -> None:
    """A new plan of the same images may have other statistics: CT arrays are then made anew."""
    run(workspace, [write(workspace, i) for i in range(2)])
    plans = read_json(workspace.preprocessed_dataset / "plans.json")
    plans["configurations"]["2d"]["normalization_schemes"] = [scheme]
    before = preprocessing_key(plans)
    plans["foreground_intensity_properties_per_channel"]["0"]["mean"] += 1.0
    assert (preprocessing_key(plans) != before) is counts
