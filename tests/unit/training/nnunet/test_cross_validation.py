from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
from nnunetv2.evaluation import evaluate_predictions
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO
from nnunetv2.postprocessing.remove_connected_components import load_postprocess_save

from converters.images.image_pixels import write_png
from tests.unit.training.nnunet.spurious import CLASSES, write_run
from training.case_files import read_image, write_case
from training.evaluation import ClassDice
from training.nnunet.cross_validation import find_postprocessing
from training.nnunet.data.plans import dataset_json
from training.nnunet.inference.postprocessing import apply_postprocessing
from training.versions.keep_largest import KEEP_LARGEST, KeepLargest, read_postprocessing
from training.workspace import Workspace


def test_spurious_parts_of_one_class_are_found(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 7)
    write_run(workspace, 1, with_spurious=True)
    beats: list[int] = []
    found = find_postprocessing(workspace, 1, (0, 1), CLASSES, beat=lambda: beats.append(1))
    assert found.steps == (KeepLargest((1,)),)
    perfect = {"disc": 1.0, "square": 1.0}
    assert found.dice_per_case == {f"task_{i}": perfect for i in range(4)}
    assert len(beats) >= 4
    assert evaluate_predictions.multiprocessing is multiprocessing
    assert not [p for p in workspace.run_dir(1).iterdir() if p.name.startswith(".")]
    # A second call, after an interruption, finds the same.
    assert find_postprocessing(workspace, 1, (0, 1), CLASSES) == found


def test_nothing_is_done_where_nothing_helps(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 7)
    write_run(workspace, 1, with_spurious=False)
    found = find_postprocessing(workspace, 1, (0, 1), CLASSES)
    assert found.steps == ()
    assert read_postprocessing(workspace.run_dir(1)) == ()


@pytest.mark.parametrize("classes", [CLASSES, (*CLASSES, "debris")])
def test_a_class_nobody_has_drawn_does_not_stop_the_search(
    tmp_path: Path, classes: tuple[str, ...]
) -> None:
    """nnU-Net's mean over the classes is NaN with such a class, and no number is above it."""
    workspace = Workspace(tmp_path, 7)
    write_run(workspace, 1, with_spurious=False)
    for fold in (0, 1):
        folder = workspace.fold_dir(1, fold)
        (folder / "dataset.json").write_text(json.dumps(dataset_json(classes, 1, 4)))
        for number in (0, 1):
            case_id = f"task_{2 * fold + number}"
            labels = np.zeros((40, 40), np.uint8)
            labels[5:15, 5:15], labels[8:12, 8:12] = 1, 2
            write_case(workspace, case_id, labels, labels, n_channels=1)
            predicted = labels.copy()
            predicted[30:36, 30:36], predicted[32:34, 32:34] = 1, 2
            write_png(folder / "validation" / f"{case_id}.png", predicted)
    found = find_postprocessing(workspace, 1, (0, 1), classes)
    assert found.steps == (KeepLargest((1, 2)),)
    expected: ClassDice = {"disc": 1.0, "square": 1.0}
    if "debris" in classes:
        expected["debris"] = None
    assert found.dice_per_case == {f"task_{i}": expected for i in range(4)}


def test_with_nothing_in_any_case_nothing_is_done(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 7)
    write_run(workspace, 1, with_spurious=False)
    empty = np.zeros((40, 40), np.uint8)
    for fold in (0, 1):
        for number in (0, 1):
            case_id = f"task_{2 * fold + number}"
            write_case(workspace, case_id, empty, empty, n_channels=1)
            write_png(workspace.fold_dir(1, fold) / "validation" / f"{case_id}.png", empty)
    found = find_postprocessing(workspace, 1, (0, 1), CLASSES)
    assert found.steps == ()
    assert found.dice_per_case["task_0"] == {"disc": None, "square": None}


def test_the_steps_do_what_nnunet_does_with_its_own_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    label_map = (rng.random((60, 50)) < 0.5).astype(np.uint8) * rng.integers(
        1, 4, (60, 50), np.uint8
    )
    steps = (KeepLargest((1, 2, 3)), KeepLargest((2,)))
    write_png(tmp_path / "in.png", label_map)
    from nnunetv2.postprocessing import remove_connected_components as nnunet

    function = getattr(nnunet, KEEP_LARGEST)
    kwargs = [{"labels_or_regions": [1, 2, 3]}, {"labels_or_regions": 2}]
    load_postprocess_save(
        str(tmp_path / "in.png"),
        str(tmp_path / "out.png"),
        NaturalImage2DIO(),
        [function, function],
        kwargs,
    )
    theirs = NaturalImage2DIO().read_seg(str(tmp_path / "out.png"))[0][0, 0]
    ours = apply_postprocessing(label_map, steps)
    assert ours.dtype == np.uint8
    np.testing.assert_array_equal(ours, theirs)
    assert (ours != label_map).any()


def test_a_beat_that_raises_ends_the_search_and_leaves_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 7)
    write_run(workspace, 1, with_spurious=True)

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        find_postprocessing(workspace, 1, (0, 1), CLASSES, beat=stop)
    assert {p.name for p in workspace.run_dir(1).iterdir()} == {"fold_0", "fold_1"}
    assert evaluate_predictions.multiprocessing is multiprocessing


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("classes", [CLASSES, (*CLASSES, "debris")])
def test_what_is_ignored_decides_nothing(
    tmp_path: Path, classes: tuple[str, ...], is_known: bool
) -> None:
    """Spurious parts that lie where nobody knows what is right are no reason to remove parts.

    With a class that no case shows, nnU-Net is given another integer for what is ignored. A model
    may be older than the setting, as a member of an ensemble is.
    """
    workspace, ignored = Workspace(tmp_path, 7), len(classes) + 1
    found = []
    for run, corner in ((1, 0), (2, ignored)):
        write_run(workspace, run, with_spurious=True)
        for fold in (0, 1):
            described = dataset_json(classes, 1, 4, has_ignore=is_known)
            (workspace.fold_dir(run, fold) / "dataset.json").write_text(json.dumps(described))
        for number in range(4):
            labels = read_image(workspace.label_png(f"task_{number}"))
            labels[:5, 25:] = corner
            labels[38:] = ignored
            write_case(workspace, f"task_{number}", labels, labels, n_channels=1)
        found.append(find_postprocessing(workspace, run, (0, 1), classes))
    known, unknown = found
    assert known.steps == (KeepLargest((1,)),)
    assert unknown.steps == ()
    expected: ClassDice = {"disc": 1.0, "square": 1.0}
    if "debris" in classes:
        expected["debris"] = None
    for one in found:
        assert one.dice_per_case == {f"task_{i}": expected for i in range(4)}


def test_with_nothing_but_ignored_pixels_nothing_is_done(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, 7)
    write_run(workspace, 1, with_spurious=False)
    labels = np.zeros((40, 40), np.uint8)
    for fold in (0, 1):
        folder = workspace.fold_dir(1, fold)
        described = dataset_json(CLASSES, 1, 4, has_ignore=True)
        (folder / "dataset.json").write_text(json.dumps(described))
        for number in (0, 1):
            case_id = f"task_{2 * fold + number}"
            write_png(folder / "validation" / f"{case_id}.png", labels)
            truth = labels.copy()
            truth[:9] = 3
            write_case(workspace, case_id, labels, truth, n_channels=1)
    found = find_postprocessing(workspace, 1, (0, 1), CLASSES)
    assert found.steps == ()
    assert set(found.dice_per_case["task_0"].values()) == {None}
