"""nnU-Net's data sets whose images have several channels, each in a file of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from backend.cli.commands.train_files import FilesRequest, _opened
from backend.from_files.context import PROJECT, FilesContext
from backend.from_files.labels.reading import Reading
from backend.pipeline.basis.annotations import label_config_of
from backend.pipeline.basis.images import load_image
from backend.settings import ProjectSettings
from backend.store import projects
from backend.store.models import TaskRow
from backend.store.tasks import snapshots
from converters.exports.nifti import nifti_bytes
from converters.masks.channel_files import channels_of
from domain.errors import FileFormatError, SettingsError
from tests.unit.backend.from_files.material import SIDE, read
from tests.unit.backend.from_files.test_other_sources import noise, volume


def pixels(seed: int, *colors: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE, *colors), dtype=np.uint8)


def data_set(root: Path, names: Sequence[str] | None, ending: str = ".png") -> Path:
    """An empty one; None: without dataset.json."""
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True, exist_ok=True)
    if names is not None:
        about = {
            "channel_names": dict(enumerate(names)),
            "labels": {"background": 0, "lumen": 1, "wall": 2},
            "file_ending": ending,
        }
        (root / "dataset.json").write_text(json.dumps(about))
    return root


def case(root: Path, name: str, channels: Sequence[npt.NDArray[np.uint8]], seed: int = 0) -> None:
    cv2.imwrite(str(root / "labelsTr" / f"{name}.png"), noise(seed))
    for number, image in enumerate(channels):
        stored = image if image.ndim == 2 else image[:, :, ::-1]
        cv2.imwrite(str(root / "imagesTr" / f"{name}_{number:04d}.png"), stored)


def request(root: Path, out: Path, **settings: Any) -> FilesRequest:
    empty: dict[str, Any] = {}
    return FilesRequest(root, out, None, "", None, (), {}, False, False, settings, empty)


def read_set(
    root: Path, out: Path, image_key: str = "", **settings: Any
) -> tuple[FilesContext, Reading]:
    """As ``nnloop train`` reads it."""
    opened = _opened(request(root, out, **settings), ProjectSettings(), image_key)
    assert opened.channels is not None
    more = {"group_key": opened.group_key} if opened.group_key else {}
    return read(out, opened.source, channels=opened.channels, **more)


def images(context: FilesContext) -> dict[str, npt.NDArray[Any]]:
    """First file of each task -> its channels, as a training stacks them."""
    with context.store.read() as session:
        project = projects.get(session, PROJECT)
        config = label_config_of(project, project.settings)
        rows = [row for row, _ in snapshots.submitted_annotations(session, PROJECT)]
    return {str(row.data[config.image_key]): load_image(context, row, config) for row in rows}


def test_files_become_channels_in_the_order_of_dataset_json(tmp_path: Path) -> None:
    root = data_set(tmp_path / "Dataset001", ("T1 native", "FLAIR"))
    first, second = (pixels(0), pixels(1)), (pixels(2), pixels(3))
    case(root, "one", first)
    case(root, "two", second)
    context, reading = read_set(root, tmp_path / "out")
    assert (reading.labelled, reading.left_out) == (2, ())
    found = images(context)
    np.testing.assert_array_equal(found["one_0000.png"], np.dstack(first))
    np.testing.assert_array_equal(found["two_0000.png"], np.dstack(second))
    with context.store.read() as session:
        assert projects.get(session, PROJECT).settings.channels == ("T1_native", "FLAIR")


def test_one_colour_channel_makes_all_colour(tmp_path: Path) -> None:
    root = data_set(tmp_path, ("light R", "light G", "light B", "depth R", "depth G", "depth B"))
    case(root, "one", (pixels(0, 3), pixels(1)))
    found = images(read_set(root, tmp_path / "out")[0])
    expected = np.dstack([pixels(0, 3), np.repeat(pixels(1)[:, :, None], 3, axis=2)])
    np.testing.assert_array_equal(found["one_0000.png"], expected)


def test_a_natural_image_in_colour_is_one_file(tmp_path: Path) -> None:
    root = data_set(tmp_path, ("R", "G", "B"))
    case(root, "one", (pixels(0, 3),))
    context, reading = read_set(root, tmp_path / "out")
    assert (reading.labelled, reading.left_out) == (1, ())
    np.testing.assert_array_equal(images(context)["one_0000.png"], pixels(0, 3))


def test_a_case_that_lacks_a_channel_is_named_and_costs_no_other(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set", ("T1", "T2"))
    case(root, "one", (pixels(0), pixels(1)))
    case(root, "two", (pixels(2),))
    _, reading = read_set(root, tmp_path / "out")
    assert reading.labelled == 1
    (note,) = reading.left_out
    assert "'T2'" in note.message
    assert "two_0000.png" in note.message
    # It comes, and another one goes.
    case(root, "two", (pixels(2), pixels(3)))
    (root / "imagesTr" / "one_0001.png").unlink()
    context, reading = read_set(root, tmp_path / "out")
    assert (reading.labelled, len(reading.left_out)) == (1, 1)
    np.testing.assert_array_equal(
        images(context)["two_0000.png"], np.dstack([pixels(2), pixels(3)])
    )


def test_a_channel_that_changes_is_another_image(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set", ("T1", "T2"))
    case(root, "one", (pixels(0), pixels(1)))
    read_set(root, tmp_path / "out")
    case(root, "one", (pixels(0), pixels(9)))
    context, _ = read_set(root, tmp_path / "out")
    np.testing.assert_array_equal(images(context)["one_0000.png"][:, :, 1], pixels(9))
    # A third one is named: it counts from now on, and every image needs it.
    data_set(root, ("T1", "T2", "DWI"))
    case(root, "two", (pixels(1), pixels(2), pixels(3)))
    context, reading = read_set(root, tmp_path / "out")
    assert (reading.labelled, len(reading.left_out)) == (1, 1)
    assert images(context)["two_0000.png"].shape == (SIDE, SIDE, 3)


def test_stacks_have_channels_too(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set", ("T1", "T2"), ".nii.gz")
    for name, n_channels in (("one", 2), ("two", 1)):
        masks = [noise(k) for k in range(3)]
        (root / "labelsTr" / f"{name}.nii.gz").write_bytes(volume(masks, lies=-1.0))
        for channel in range(n_channels):
            slices = [pixels(10 * channel + k) for k in range(3)]
            data = volume(slices, lies=-1.0)
            (root / "imagesTr" / f"{name}_{channel:04d}.nii.gz").write_bytes(data)
    opened = _opened(request(root, tmp_path / "out"), ProjectSettings(), "")
    (note,) = opened.left_out
    assert "two_0001" in note.message
    context, reading = read_set(root, tmp_path / "out")
    assert reading.labelled == 3
    found = images(context)["one__slice0002_0000.png"]
    np.testing.assert_array_equal(found, np.dstack([pixels(2), pixels(12)]))


def test_nifti_of_one_slice(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set", ("T1", "T2"), ".nii.gz")
    (root / "labelsTr" / "one.nii.gz").write_bytes(nifti_bytes(noise(0), None))
    for channel in range(2):
        path = root / "imagesTr" / f"one_{channel:04d}.nii.gz"
        path.write_bytes(nifti_bytes(pixels(channel), None))
    context, _ = read_set(root, tmp_path / "out")
    found = images(context)["one_0000.nii.gz"]
    np.testing.assert_array_equal(found, np.dstack([pixels(0), pixels(1)]))


def test_an_interface_that_is_given_shows_the_first_channel(tmp_path: Path) -> None:
    root = data_set(tmp_path / "set", ("T1", "T2"))
    case(root, "one", (pixels(0), pixels(1)))
    context, _ = read_set(root, tmp_path / "out", image_key="photo")
    with context.store.read() as session:
        row = session.query(TaskRow).one()
        assert row.data == {"photo": "one_0000.png", "T2": "one_0001.png"}
    with pytest.raises(SettingsError, match="T1, T2"):
        read_set(root, tmp_path / "out", channels=("T2", "T1"))


@pytest.mark.parametrize(
    ("names", "files", "stems", "expected"),
    [
        (None, ["a_0000.png", "a_0001.png"], ["a"], ("channel_0", "channel_1")),
        (("T1", "T1"), ["a_0000.png", "a_0001.png"], ["a"], ("T1", "T1_1")),
        (("", "é ü"), ["a_0000.png", "a_0001.png"], ["a"], ("channel_0", "é_ü")),
        # Numbered frames with masks of their own are images, no channels.
        (None, ["a_0000.png", "a_0001.png"], ["a_0000", "a_0001", "a"], ()),
        (None, ["a_0000.png", "b_0001.png"], ["a"], ()),
        (("R", "G", "B"), ["a_0000.png"], ["a"], ()),
        # As nnloop exports colour to NIfTI.
        (("R", "G", "B"), [f"a_000{k}.nii.gz" for k in range(3)], ["a"], ("R", "G", "B")),
        # All cases lack the second one: each is named then.
        (("T1", "T2"), ["a_0000.png"], ["a"], ("T1", "T2")),
        # A stray file.
        (("T1", "T2"), ["a_0000.png", "a_0001.png", "a_0007.png"], ["a"], ("T1", "T2")),
    ],
)
def test_what_counts_as_channels(
    names: Sequence[str] | None,
    files: Sequence[str],
    stems: Sequence[str],
    expected: tuple[str, ...],
    tmp_path: Path,
) -> None:
    root = data_set(tmp_path, names)
    for name in files:
        (root / "imagesTr" / name).write_bytes(b"")
    assert channels_of(root / "labelsTr", root / "imagesTr", stems) == expected


def test_a_data_set_that_contradicts_itself(tmp_path: Path) -> None:
    root = data_set(tmp_path, ("US",))
    case(root, "a", (pixels(0), pixels(1)))
    with pytest.raises(FileFormatError, match="names one channel"):
        channels_of(root / "labelsTr", root / "imagesTr", ["a"])
