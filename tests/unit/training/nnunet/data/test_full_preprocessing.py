"""The arrays are those that nnU-Net's own preprocessing of the whole set makes."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import numpy.typing as npt
import pytest
from batchgenerators.utilities.file_and_folder_operations import load_pickle
from nnunetv2.experiment_planning.plan_and_preprocess_api import preprocess_dataset
from nnunetv2.preprocessing.preprocessors import default_preprocessor

from tests.nnunet_threads import use_threads
from training.case_files import CaseFiles, write_case
from training.nnunet.data.dataset import DatasetSpec, prepare
from training.nnunet.data.index import arrays_folder
from training.nnunet.environment import nnunet_roots
from training.presets import FULL, TINY
from training.workspace import Workspace

SIZES = ((64, 96), (64, 96), (80, 60), (41, 97))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n_channels", "dtype", "preset"),
    [
        # Resampled to half the size.
        (
            1,
            np.uint8,
            dataclasses.replace(TINY, min_image_side=None, max_image_side=48, max_patch_side=48),
        ),
        (3, np.uint16, FULL),
    ],
)
def test_arrays_equal_those_of_a_full_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_channels: int, dtype: Any, preset: Any
) -> None:
    workspace = Workspace(tmp_path / "own", 1)
    spec = DatasetSpec(("a", "b"), n_channels, preset)
    # In two steps, with a case that changes and one that goes, to arrive at the set by a detour.
    detour = {0: (50, 50), 1: SIZES[1], 2: SIZES[2], 9: (64, 96)}
    first = [_write(workspace, i, size, n_channels, dtype) for i, size in detour.items()]
    prepare(workspace, first, _folds(first), spec)
    cases = [_write(workspace, i, size, n_channels, dtype) for i, size in enumerate(SIZES)]
    prepared = prepare(workspace, cases, _folds(cases), spec, replan=True)
    assert prepared.n_cases == len(SIZES)

    full = tmp_path / "full" / workspace.dataset_name
    full.mkdir(parents=True)
    for name in ("dataset.json", "dataset_fingerprint.json"):
        shutil.copy(workspace.preprocessed_dataset / name, full / name)
    shutil.copy(workspace.preprocessed_dataset / "plans.json", full / "nnUNetPlans.json")
    use_threads(monkeypatch, default_preprocessor)
    with nnunet_roots(workspace.raw_root, full.parent):
        preprocess_dataset(1, configurations=("2d",), num_processes=(1,), show_progress_bar=False)

    theirs, ours = full / arrays_folder(workspace).name, arrays_folder(workspace)
    names = {path.name for path in theirs.iterdir()}
    assert names == {path.name for path in ours.iterdir()}
    assert len(names) == 3 * len(SIZES)
    for name in names:
        if name.endswith(".pkl"):
            _assert_same(load_pickle(str(ours / name)), load_pickle(str(theirs / name)))
        else:
            np.testing.assert_array_equal(_array(ours / name), _array(theirs / name))
    truths = full / "gt_segmentations"
    for path in truths.iterdir():
        assert path.read_bytes() == workspace.truth_png(path.stem).read_bytes()
    assert len(list(truths.iterdir())) == len(SIZES)


def _write(
    workspace: Workspace, number: int, size: tuple[int, int], n_channels: int, dtype: Any
) -> CaseFiles:
    rng = np.random.default_rng(number)
    image = rng.integers(1, np.iinfo(dtype).max, (*size, n_channels)).astype(dtype)
    image[:5] = 0  # a black border, which nnU-Net crops
    labels = np.zeros(size, np.uint8)
    labels[10:40, 10:50] = 1
    labels[20:30, 20:30] = number % 3
    return write_case(workspace, f"task_{number}", image, labels, n_channels=n_channels)


def _folds(cases: Sequence[CaseFiles]) -> dict[str, int]:
    return {case.case_id: i % 2 for i, case in enumerate(cases)}


def _array(path: Path) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = blosc2.open(str(path), mode="r")[:]
    return array


def _assert_same(ours: Any, theirs: Any) -> None:
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key in ours:
            _assert_same(ours[key], theirs[key])
    elif isinstance(ours, np.ndarray):
        np.testing.assert_array_equal(ours, theirs)
    else:
        assert ours == theirs
