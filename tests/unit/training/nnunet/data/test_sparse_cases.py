"""Cases of which not every pixel is known, from their files to nnU-Net's arrays."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import numpy.typing as npt
import pytest
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from converters.bookkeeping.files import read_json
from domain.errors import CaseError, TrainingError
from training.case_files import CaseFiles, write_case
from training.dataset_labels import ignored_integer, n_classes
from training.nnunet.data.dataset import DatasetSpec, PreparedDataset, prepare
from training.nnunet.data.index import arrays_folder
from training.nnunet.data.plans import dataset_json
from training.nnunet.data.preprocessing import look_at
from training.presets import FULL, TINY, Preset
from training.workspace import Workspace

PRESET = dataclasses.replace(
    TINY,
    min_image_side=None,
    max_image_side=48,
    max_patch_side=48,
    features_per_stage=(8, 16, 32, 64, 64),
)
CLASSES = ("a", "b")
IGNORED = 3


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, 1)


def scribbled(size_hw: tuple[int, int] = (64, 96), **values: int) -> npt.NDArray[np.uint8]:
    """Two lines of 2 pixels and one of background, and nothing else known."""
    labels = np.full(size_hw, values.get("ignored", IGNORED), np.uint8)
    labels[10:12, 10:50] = 1
    labels[30:32, 20:60] = values.get("second", 2)
    labels[50:52, 5:90] = 0
    return labels


def write(
    workspace: Workspace, name: str, labels: npt.NDArray[np.uint8], *, n_channels: int = 1
) -> CaseFiles:
    shape = labels.shape if n_channels == 1 else (*labels.shape, n_channels)
    image = np.random.default_rng(len(name)).integers(1, 255, shape).astype(np.uint8)
    return write_case(workspace, name, image, labels, n_channels=n_channels)


def run(
    workspace: Workspace,
    cases: list[CaseFiles],
    *,
    has_ignore: bool = True,
    preset: Preset = PRESET,
    class_values: tuple[str, ...] = CLASSES,
    n_channels: int = 1,
) -> PreparedDataset:
    folds = {case.case_id: i % 2 for i, case in enumerate(cases)}
    spec = DatasetSpec(class_values, n_channels, preset, has_ignore=has_ignore)
    return prepare(workspace, cases, folds, spec)


def seg_of(workspace: Workspace, case_id: str) -> npt.NDArray[Any]:
    return np.asarray(blosc2.open(str(arrays_folder(workspace) / f"{case_id}_seg.b2nd"))[0, 0])


def test_nnunet_reads_its_ignore_label() -> None:
    described = dataset_json(("ignore", "lumen"), 1, 4, has_ignore=True)
    assert described["labels"] == {"background": 0, "1_ignore": 1, "2_lumen": 2, "ignore": 3}
    assert (ignored_integer(described), n_classes(described)) == (3, 3)
    without = dataset_json(("ignore", "lumen"), 1, 4)
    assert (ignored_integer(without), n_classes(without)) == (None, 3)


def test_what_a_case_may_hold(workspace: Workspace) -> None:
    case = write(workspace, "case", scribbled())
    assert look_at(case, 2, 1, has_ignore=True).has_foreground
    with pytest.raises(CaseError, match="holds 3, but there are 2 classes"):
        look_at(case, 2, 1)
    with pytest.raises(CaseError, match="holds 3, but there are 1 classes"):
        look_at(case, 1, 1, has_ignore=True)
    only = np.full((20, 20), IGNORED, np.uint8)
    only[:5] = 0
    assert not look_at(write(workspace, "only", only), 2, 1, has_ignore=True).has_foreground


@pytest.mark.parametrize("preset", [PRESET, FULL])
def test_what_nnunet_lists_of_a_case(workspace: Workspace, preset: Preset) -> None:
    cases = [write(workspace, f"case_{i}", scribbled()) for i in range(2)]
    run(workspace, cases, preset=preset)
    seg = seg_of(workspace, "case_0")
    assert set(np.unique(seg)) == {0, 1, 2, IGNORED}
    with (arrays_folder(workspace) / "case_0.pkl").open("rb") as opened:
        places = pickle.load(opened)["class_locations"]
    # Its own loader centres patches on these: on what is known, with or without a class.
    known = places[(-1, 0, 1, 2)]
    assert len(known) and (seg[known[:, 2], known[:, 3]] != IGNORED).all()
    assert all((seg[places[k][:, 2], places[k][:, 3]] == k).all() for k in (1, 2))
    dataset = read_json(workspace.preprocessed_dataset / "dataset.json")
    plans = PlansManager(read_json(workspace.preprocessed_dataset / "plans.json"))
    manager = plans.get_label_manager(dataset)
    assert (manager.ignore_label, manager.num_segmentation_heads) == (IGNORED, 3)


def test_ignoring_or_not_preprocesses_anew_and_says_why(workspace: Workspace) -> None:
    known = np.zeros((64, 96), np.uint8)
    known[10:40, 10:50] = 1
    cases = [write(workspace, f"case_{i}", known) for i in range(2)]
    assert run(workspace, cases, has_ignore=False).replanned == ""
    on = run(workspace, cases)
    assert (on.replanned, len(on.preprocessed)) == ("changed: the ignore label", 2)
    again = run(workspace, cases)
    assert (again.replanned, again.preprocessed) == ("", ())
    off = run(workspace, cases, has_ignore=False)
    assert (off.replanned, len(off.preprocessed)) == ("changed: the ignore label", 2)


def test_nothing_but_ignored_pixels_and_background(workspace: Workspace) -> None:
    labels = np.full((64, 96), IGNORED, np.uint8)
    labels[:9] = 0
    with pytest.raises(TrainingError, match="label"):
        run(workspace, [write(workspace, f"case_{i}", labels) for i in range(2)])


def test_an_image_that_is_black_round_its_border(workspace: Workspace) -> None:
    """nnU-Net cuts the border off, and writes -1 where background is black."""
    labels = scribbled()
    image = np.full((64, 96), 90, np.uint8)
    image[:8], image[-6:], image[:, :4] = 0, 0, 0
    image[8:20, 60:] = 0
    labels[8:14, 60:80] = 0  # known to be background, and black
    cases = [write_case(workspace, f"case_{i}", image, labels, n_channels=1) for i in range(2)]
    run(workspace, cases, preset=FULL)
    seg = seg_of(workspace, "case_0")
    assert seg.shape == (50, 92)
    expected = labels[8:58, 4:].astype(int)
    expected[(expected == 0) & (image[8:58, 4:] == 0)] = -1
    np.testing.assert_array_equal(seg, expected)


def test_all_that_is_known_lies_in_the_black_border(workspace: Workspace) -> None:
    image = np.full((64, 96), 90, np.uint8)
    image[:, :60] = 0
    labels = np.full((64, 96), IGNORED, np.uint8)
    labels[10:20, 10:20] = 1
    odd = write_case(workspace, "odd", image, labels, n_channels=1)
    run(workspace, [write(workspace, "fine", scribbled()), odd])
    assert set(np.unique(seg_of(workspace, "odd"))) == {IGNORED}


def test_rgb_and_images_of_a_line(workspace: Workspace) -> None:
    line = np.full((1, 40), IGNORED, np.uint8)
    line[0, 5:7], line[0, 20:30] = 1, 0
    cases = [
        write(workspace, "line", line, n_channels=3),
        write(workspace, "image", scribbled((64, 60)), n_channels=3),
    ]
    small = dataclasses.replace(PRESET, max_image_side=None)
    run(workspace, cases, n_channels=3, preset=small)
    assert {0, 1, IGNORED} <= set(np.unique(seg_of(workspace, "line")))


def test_as_many_classes_as_there_can_be(workspace: Workspace) -> None:
    labels = scribbled(second=253, ignored=254)
    names = tuple(f"c{number}" for number in range(253))
    cases = [write(workspace, f"case_{i}", labels) for i in range(2)]
    run(workspace, cases, class_values=names)
    assert set(np.unique(seg_of(workspace, "case_0"))) == {0, 1, 253, 254}


def test_a_thin_stroke_reaches_the_network(workspace: Workspace) -> None:
    """It sees a quarter of each side; nnU-Net's own resampling would leave nothing of the line."""
    labels = np.full((128, 192), IGNORED, np.uint8)
    labels[21, 10:100] = 1
    labels[80, 10:150] = 0
    run(workspace, [write(workspace, f"case_{i}", labels) for i in range(2)])
    seg = seg_of(workspace, "case_0")
    assert seg.shape == (32, 48)
    assert (seg[5, 3:24] == 1).all() and (seg[20, 3:37] == 0).all()
    assert (seg == IGNORED).mean() > 0.9
