from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import blosc2
import numpy as np
import pytest
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor

from converters.bookkeeping.files import read_json
from domain.errors import NotEnoughCasesError, TrainingError
from training.case_files import CaseFiles, write_case
from training.nnunet.data.dataset import DatasetSpec, PreparedDataset, prepare
from training.nnunet.data.index import arrays_folder
from training.presets import FULL, TINY, Preset
from training.workspace import Workspace

PRESET = dataclasses.replace(
    TINY,
    min_image_side=None,
    max_image_side=48,
    max_patch_side=48,
    features_per_stage=(8, 16, 32, 64, 64),
)


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
    return prepare(workspace, cases, folds, DatasetSpec(class_values, 1, preset))


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
    prepared = prepare(workspace, cases, folds, DatasetSpec(("a",), 1, PRESET))
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


def test_no_case_at_all(workspace: Workspace) -> None:
    with pytest.raises(NotEnoughCasesError, match="got 0"):
        run(workspace, [])


@pytest.mark.parametrize("n", [1, 3])
def test_one_fold_trains_on_everything(workspace: Workspace, n: int) -> None:
    prepared = run(workspace, [write(workspace, i) for i in range(n)], n_folds=1)
    everything = [f"task_{i}" for i in range(n)]
    assert prepared.folds == (0,)
    assert read_json(workspace.preprocessed_dataset / "splits_final.json") == [
        {"train": everything, "val": everything}
    ]


def test_all_in_one_of_several_folds(workspace: Workspace) -> None:
    cases = [write(workspace, i) for i in range(2)]
    with pytest.raises(NotEnoughCasesError, match="in fold 1"):
        prepare(
            workspace,
            cases,
            {"task_0": 1, "task_1": 1},
            DatasetSpec(("a",), 1, PRESET),
        )


def test_lost_arrays_are_made_again(workspace: Workspace) -> None:
    cases = [write(workspace, i) for i in range(3)]
    run(workspace, cases)
    (arrays_folder(workspace) / "task_1_seg.b2nd").unlink()
    assert run(workspace, cases).preprocessed == ("task_1",)


def test_label_maps_lie_beside_the_arrays(workspace: Workspace) -> None:
    """As nnU-Net leaves them for its own validation."""
    cases = [write(workspace, i) for i in range(3)]
    run(workspace, cases)
    cases = [write(workspace, 0, label=2), cases[1]]
    run(workspace, cases)
    folder = workspace.preprocessed_dataset / "gt_segmentations"
    assert {path.name for path in folder.iterdir()} == {"task_0.png", "task_1.png"}
    for case in cases:
        assert workspace.truth_png(case.case_id).read_bytes() == case.label_png.read_bytes()


def test_the_raw_data_are_listed_for_nnunet(workspace: Workspace) -> None:
    run(workspace, [write(workspace, i) for i in range(2)])
    raw = read_json(workspace.raw_dataset / "dataset.json")
    assert raw["dataset"]["task_1"] == {
        "images": ["imagesTr/task_1_0000.png"],
        "label": "labelsTr/task_1.png",
    }
    assert "dataset" not in read_json(workspace.preprocessed_dataset / "dataset.json")


@pytest.mark.slow
def test_channels_are_named_after_their_images(workspace: Workspace) -> None:
    rng = np.random.default_rng(0)
    labels = np.zeros((64, 96), np.uint8)
    labels[10:40, 10:50] = 1
    cases = [
        write_case(
            workspace,
            f"task_{i}",
            rng.integers(0, 65_535, (64, 96, 2)).astype(np.uint16),
            labels,
            n_channels=2,
        )
        for i in range(2)
    ]
    folds = {"task_0": 0, "task_1": 1}
    prepare(workspace, cases, folds, DatasetSpec(("a",), 2, PRESET, ("ct", "noNorm")))
    dataset = read_json(workspace.preprocessed_dataset / "dataset.json")
    assert dataset["channel_names"] == {"0": "0_ct", "1": "1_noNorm"}
    plans = read_json(workspace.preprocessed_dataset / "plans.json")
    assert plans["configurations"]["2d"]["normalization_schemes"] == ["ZScoreNormalization"] * 2
    assert blosc2.open(str(arrays_folder(workspace) / "task_0.b2nd"), mode="r").shape[0] == 2
    again = prepare(workspace, cases, folds, DatasetSpec(("a",), 2, PRESET, ("ct", "mr")))
    assert again.replanned == "changed: channels"


def test_a_full_disk_is_noticed_before(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = [write(workspace, i) for i in range(2)]
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(9, 9, 0))
    with pytest.raises(TrainingError, match="The disk of"):
        run(workspace, cases)
    assert not any(arrays_folder(workspace).glob("*.b2nd"))


def test_stopped_between_cases_what_is_done_is_kept(workspace: Workspace) -> None:
    cases = [write(workspace, i) for i in range(3)]

    def stop() -> None:
        if list(arrays_folder(workspace).glob("*.pkl")):
            raise InterruptedError

    folds = {case.case_id: i % 2 for i, case in enumerate(cases)}
    spec = DatasetSpec(("a",), 1, PRESET)
    with pytest.raises(InterruptedError):
        prepare(workspace, cases, folds, spec, beat=stop)
    assert prepare(workspace, cases, folds, spec).preprocessed == ("task_1", "task_2")
