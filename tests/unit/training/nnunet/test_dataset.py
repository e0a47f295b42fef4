from __future__ import annotations

import dataclasses
from pathlib import Path

import blosc2
import numpy as np
import pytest
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor

from converters.files import read_json
from domain.errors import NotEnoughCasesError, TrainingError
from training.cases import CaseFiles, write_case
from training.nnunet.dataset import PreparedDataset, arrays_folder, prepare
from training.presets import FULL, TINY, Preset
from training.workspace import Workspace

PRESET = dataclasses.replace(TINY, max_image_side=48, max_patch_side=48)


def write(
    workspace: Workspace, number: int, *, label: int = 1, height: int = 64, width: int = 96
) -> CaseFiles:
    rng = np.random.default_rng(number)
    image = rng.integers(1, 255, (height, width)).astype(np.uint8)
    labels = np.zeros((height, width), np.uint8)
    labels[10:40, 10:50] = label
    return write_case(workspace, f"task_{number}", image, labels, n_channels=1)


def run(
    workspace: Workspace,
    cases: list[CaseFiles],
    *,
    class_values: tuple[str, ...] = ("a", "ignore"),
    preset: Preset = PRESET,
    n_folds: int = 2,
) -> PreparedDataset:
    folds = {case.case_id: i % n_folds for i, case in enumerate(cases)}
    return prepare(workspace, cases, folds, class_values=class_values, n_channels=1, preset=preset)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, 1)


def stamps(workspace: Workspace) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in arrays_folder(workspace).iterdir()}


def test_only_what_changed_is_done(workspace: Workspace) -> None:
    cases = [write(workspace, i) for i in range(4)]
    first = run(workspace, cases)
    assert first.planned
    assert len(first.preprocessed) == 4
    before, plans = stamps(workspace), read_json(workspace.preprocessed_dataset / "plans.json")

    again = run(workspace, cases)
    assert (again.planned, again.preprocessed, again.removed) == (False, (), ())
    assert stamps(workspace) == before

    cases[1] = write(workspace, 1, label=2)
    added = [cases[0], cases[1], cases[3], write(workspace, 9)]
    changed = run(workspace, added)
    assert not changed.planned
    assert changed.preprocessed == ("task_1", "task_9")
    assert changed.removed == ("task_2",)
    after = stamps(workspace)
    for name in ("task_0.b2nd", "task_3_seg.b2nd"):
        assert after[name] == before[name]
    assert after["task_1_seg.b2nd"] != before["task_1_seg.b2nd"]
    assert not any(name.startswith("task_2") for name in after)
    assert not workspace.image_png("task_2").exists()
    assert read_json(workspace.preprocessed_dataset / "plans.json") == plans
    seg = blosc2.open(str(arrays_folder(workspace) / "task_1_seg.b2nd"), mode="r")[:]
    assert set(np.unique(seg)) == {0, 2}


def test_splits_are_the_manifests_folds(workspace: Workspace) -> None:
    cases = [write(workspace, i) for i in range(4)]
    folds = {"task_0": 0, "task_1": 2, "task_2": 2, "task_3": 0}
    prepared = prepare(workspace, cases, folds, class_values=("a",), n_channels=1, preset=PRESET)
    # Fold 1 lost all its cases: it is not trained, and the numbers of the others stay.
    assert prepared.folds == (0, 2)
    assert read_json(workspace.preprocessed_dataset / "splits_final.json") == [
        {"train": ["task_1", "task_2"], "val": ["task_0", "task_3"]},
        {"train": ["task_0", "task_1", "task_2", "task_3"], "val": []},
        {"train": ["task_0", "task_3"], "val": ["task_1", "task_2"]},
    ]


def test_plans_follow_classes_and_preset(workspace: Workspace) -> None:
    cases = [write(workspace, i) for i in range(2)]
    run(workspace, cases)
    configuration = read_json(workspace.preprocessed_dataset / "plans.json")["configurations"]["2d"]
    assert configuration["patch_size"] == [32, 48]
    assert configuration["spacing"] == [2.0, 2.0]
    assert configuration["architecture"]["arch_kwargs"]["features_per_stage"] == [8, 16, 32, 64, 64]
    array = blosc2.open(str(arrays_folder(workspace) / "task_0.b2nd"), mode="r")
    assert array.shape == (1, 1, 32, 48)
    other = run(workspace, cases, class_values=("a", "ignore", "c"))
    assert other.planned
    assert len(other.preprocessed) == 2
    assert not run(
        workspace,
        cases,
        class_values=("a", "ignore", "c"),
        preset=dataclasses.replace(PRESET, epochs=3),
    ).planned


def test_full_is_nnunets_own_plan(workspace: Workspace) -> None:
    cases = [write(workspace, i) for i in range(2)]
    run(workspace, cases, preset=FULL)
    configuration = read_json(workspace.preprocessed_dataset / "plans.json")["configurations"]["2d"]
    assert configuration["spacing"] == [1.0, 1.0]
    assert configuration["patch_size"] == [64, 96]
    assert configuration["resampling_fn_probabilities"] == "resample_data_or_seg_to_shape"
    assert configuration["architecture"]["arch_kwargs"]["features_per_stage"][0] == 32


def test_an_interrupted_preparation_is_mended(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [write(workspace, i) for i in range(3)]
    run(workspace, cases)
    original = cases[1]
    cases[1] = write(workspace, 1, label=2)
    with monkeypatch.context() as patch:
        whole = DefaultPreprocessor.run_case_save

        def interrupted(*args: object, **kwargs: object) -> None:
            whole(*args, **kwargs)
            raise KeyboardInterrupt

        patch.setattr(DefaultPreprocessor, "run_case_save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(workspace, cases)
    # Back to the annotation the old index knew: what lies on disk must not be trusted.
    assert write(workspace, 1) == original
    cases[1] = original
    run(workspace, cases)
    seg = blosc2.open(str(arrays_folder(workspace) / "task_1_seg.b2nd"), mode="r")[:]
    assert set(np.unique(seg)) == {0, 1}


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_cases(workspace: Workspace, n: int) -> None:
    with pytest.raises(NotEnoughCasesError, match=f"got {n}"):
        run(workspace, [write(workspace, i) for i in range(n)])


def test_one_fold_only(workspace: Workspace) -> None:
    with pytest.raises(NotEnoughCasesError, match="one fold"):
        run(workspace, [write(workspace, i) for i in range(3)], n_folds=1)


def test_all_masks_empty(workspace: Workspace) -> None:
    with pytest.raises(TrainingError, match="None of the 3"):
        run(workspace, [write(workspace, i, label=0) for i in range(3)])


def test_some_masks_empty_and_several_sizes(workspace: Workspace) -> None:
    cases = [
        write(workspace, 0, label=0),
        write(workspace, 1, height=80, width=60),
        write(workspace, 2),
    ]
    assert run(workspace, cases).n_cases == 3


def test_an_undeclared_integer_names_the_case(workspace: Workspace) -> None:
    cases = [write(workspace, 0), write(workspace, 1, label=7)]
    with pytest.raises(TrainingError, match=r"Case task_1.*holds 7.*2 classes"):
        run(workspace, cases)


def test_a_case_of_another_kind_is_named(workspace: Workspace) -> None:
    colour = write_case(
        workspace,
        "rgb",
        np.ones((64, 96), np.uint8),
        np.ones((64, 96), np.uint8),
        n_channels=3,
    )
    with pytest.raises(TrainingError, match="Case rgb: the image has 3 channels"):
        run(workspace, [write(workspace, 0), colour])
