from __future__ import annotations

import itertools
from pathlib import Path

import blosc2
import numpy as np
import pytest

from benchmarks import retrain
from benchmarks.retrain import Peer
from tests.needed import real_images
from training.case_files import read_image
from training.nnunet.data.index import arrays_folder
from training.presets import TINY
from training.workspace import Workspace


def small() -> list[retrain.Sample]:
    """Two images of 43 x 43 pixels."""
    return [
        (np.ascontiguousarray(image[::6, ::6]).astype(np.uint8), labels[::6, ::6].copy())
        for image, labels in itertools.islice(retrain.generated(2), 2)
    ]


def test_one_change_is_measured_at_every_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def peer(workspace: Workspace, _folder: Path, repeats: int) -> Peer:
        assert len(list(workspace.label_png("x").parent.glob("*.png"))) == 5
        return Peer([1000.0] * repeats, [500.0] * repeats, arrays_folder(workspace))

    monkeypatch.setattr(retrain, "run_peer", peer)
    # Its plans are made faster; the command would make others.
    monkeypatch.setattr(retrain, "FULL", TINY)
    figures = retrain.measure(small(), tmp_path, repeats=1, full_repeats=1, cases=(3, 5))
    assert (figures["cases"], figures["full_s"]) == (5, 1000.0)
    assert set(figures["by_cases"]) == {"3", "5"}
    assert figures["one_change_s"] == figures["by_cases"]["5"]
    assert figures["arrays_equal"]


def test_cases_beyond_the_set_are_mirrored(tmp_path: Path) -> None:
    data = retrain._Growing(Workspace(tmp_path, 1), small())
    labels = [data._sample(i)[1] for i in range(6)]
    assert not np.array_equal(labels[0], labels[2])
    np.testing.assert_array_equal(labels[2][:, ::-1], labels[0])
    np.testing.assert_array_equal(labels[4][::-1, ::-1], labels[0])


def test_arrays_that_differ_are_noticed(tmp_path: Path) -> None:
    for name, value in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        blosc2.asarray(np.full((2, 2), value), urlpath=str(tmp_path / name / "x.b2nd"))
    assert retrain.same_arrays(tmp_path / "a", tmp_path / "b")
    assert not retrain.same_arrays(tmp_path / "a", tmp_path / "c")
    (tmp_path / "b" / "x.b2nd").unlink()
    assert not retrain.same_arrays(tmp_path / "b", tmp_path / "a")


def test_a_folder_without_masks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no PNG"):
        list(retrain.read_samples(tmp_path))


def test_shared_data_are_read() -> None:
    folder = real_images("glacier")
    image, labels = next(retrain.read_samples(folder))
    assert image.shape[:2] == labels.shape
    first = sorted((folder / "masks").glob("*.png"))[0]
    np.testing.assert_array_equal(labels, read_image(first))
