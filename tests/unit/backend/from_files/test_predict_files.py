"""Predicting files with a network of random weights: what a person is told, what is on the disk."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from backend.from_files.models import find_model
from backend.from_files.networks.predict import predict_files
from backend.from_files.predictions.predicting import INDEX, PredictionSpec
from backend.from_files.predictions.results import ResultOptions
from backend.from_files.predictions.told import Told
from backend.from_files.predictions.up_to_date import n_up_to_date
from domain.errors import FileFormatError, NnloopError, PredictionError
from tests.needed import missing
from tests.unit.training.nnunet.inference.versions import write_version

SIDE = 64


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_version(tmp_path_factory.mktemp("v") / "version", folds=(0,))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(3):
        write_image(folder / f"a{number}.png", number)
    return folder


def write_image(path: Path, seed: int = 0) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (SIDE, SIDE), dtype=np.uint8)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


def call(
    images: Path, version: Path, out: Path, say: Callable[[str], None], *, watches: bool = False
) -> None:
    options = ResultOptions(overlays=True)
    predict_files(PredictionSpec((str(images),), str(version), str(out), options, watches), say)


def masks(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("*.png")}


def test_names_that_no_file_or_table_can_have_are_named(
    images: Path, version: Path, tmp_path: Path
) -> None:
    picture = (images / "a0.png").read_bytes()
    odd = os.fsencode(images) + b"/b\xff.png"
    with open(odd, "wb") as file:  # noqa: PTH123 - a path of bytes
        file.write(picture)
    (images / f"{'long' * 62}.png").write_bytes(picture)  # the mask's own name is as long
    (images / 'two\nlines".png').write_bytes(picture)
    (images / "broken.png").write_bytes(picture[:99])
    out, said = tmp_path / "out", list[str]()
    call(images, version, out, said.append)
    left_out = [line for line in said if line.startswith("Left out: ")]
    assert sum("its name is not in UTF-8. Rename it." in line for line in left_out) == 1
    assert sum("File name too long" in line for line in left_out) == 1
    assert sum("broken.png" in line and "incomplete PNG" in line for line in left_out) == 1
    assert len(left_out) == 3 and all("\n" not in line for line in said)
    assert sorted(masks(out)) == ["a0.png", "a1.png", "a2.png", 'two\nlines".png']
    reasons = {row["reason"] for row in json.loads((out / "report.json").read_text())["left_out"]}
    assert reasons == {"file_name", "not_predicted", "not_an_image"}
    # Two of one name, in folders that are named both.
    other = tmp_path / "other"
    other.mkdir()
    write_image(other / "a0.png", 9)
    said.clear()
    sources = (str(images), str(other))
    spec = PredictionSpec(sources, str(version), str(out), ResultOptions(overlays=True))
    predict_files(spec, said.append)
    assert any(f"{images / 'a0.png'} is called so too" in line for line in said)


def test_what_was_cut_off_anywhere_goes_on_to_the_same_end(
    images: Path, version: Path, tmp_path: Path
) -> None:
    """As after a SIGKILL: files that no row tells of, half a file, a row without its files."""
    whole, out, said = tmp_path / "whole", tmp_path / "out", list[str]()
    call(images, version, whole, said.append)

    def stop(line: str) -> None:
        raise KeyboardInterrupt  # no error that is caught on the way

    for n in range(1, 4):
        with pytest.raises(KeyboardInterrupt):
            call(images, version, out, stop)
        assert len(masks(out)) == n
    (out / ".a1.png.x1y2z3w4.part").write_bytes(b"half")
    (out / "overlays" / ".a1.png.x1y2z3w4.part").write_bytes(b"half")
    (out / ".mine.tmp").write_bytes(b"a person's")
    (out / "a2.png").unlink()
    said.clear()
    call(images, version, out, said.append)
    assert masks(out) == masks(whole)
    assert (out / "predictions.csv").read_text() == (whole / "predictions.csv").read_text()
    hidden = {path.name for path in out.rglob(".*")}
    assert hidden == {".mine.tmp", INDEX}
    assert [line for line in said if "score" in line] == [
        "a2.png: score " + _score(whole, "a2.png")
    ]


def test_nothing_to_do_is_known_without_networks(
    images: Path, version: Path, tmp_path: Path
) -> None:
    out, said = tmp_path / "out", list[str]()

    def known(overlays: bool = True) -> int | None:
        options = ResultOptions(overlays=overlays)
        return n_up_to_date([images], find_model(version), out, options)

    assert known() is None
    call(images, version, out, said.append)
    assert known() == 3 and known() == 3
    assert known(overlays=False) is None
    (out / "a1.png").unlink()
    assert known() is None

    def stop(line: str) -> None:
        raise KeyboardInterrupt  # cut off before the table was written

    with pytest.raises(KeyboardInterrupt):
        call(images, version, out, stop)
    assert known() is None
    call(images, version, out, said.append)
    assert known() == 3
    write_image(images / "a2.png", 7)
    assert known() is None
    (images / "a2.png").unlink()
    assert known() is None  # what was made of it is to go


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _score(out: Path, name: str) -> str:
    row = next(r for r in (out / "predictions.csv").read_text().splitlines() if r.startswith(name))
    return f"{float(row.split(',')[4]):.2f}"


def test_a_watched_folder_goes_on_over_bad_files_and_says_each_once(
    images: Path, version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, said = tmp_path / "out", list[str]()
    steps: list[Callable[[], None]] = [
        lambda: None,
        lambda: _write(images / "bad.png", b"\x89PNG no more"),
        lambda: None,
        lambda: write_image(images / "new.png", 7),
        lambda: None,
        lambda: None,
        lambda: write_image(images / "bad.png", 8),  # mended
        lambda: None,
        lambda: (images / "a0.png").unlink(),
        lambda: None,
    ]

    def sleep(_: float) -> None:
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()

    monkeypatch.setattr("backend.from_files.networks.predict.time.sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        call(images, version, out, said.append, watches=True)
    assert [line.partition(":")[0] for line in said if "score" in line] == [
        "a0.png", "a1.png", "a2.png", "new.png", "bad.png",
    ]  # fmt: skip
    assert sum(line.startswith("Left out: bad.png") for line in said) == 1
    told = Told()
    assert all(map(told.take, said))
    assert (told.n_predicted, told.left_out, told.notes) == (5, [], [])
    rows = (out / "predictions.csv").read_text().splitlines()
    assert len(rows) == 6 and any(row.startswith("bad.png") for row in rows)
    assert json.loads((out / "report.json").read_text())["left_out"] == []


@contextmanager
def small_disk(at: Path, kib: int) -> Iterator[Path]:
    at.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(at)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False)
    except FileNotFoundError:
        done = None
    if done is None or done.returncode:
        missing("no small disk can be mounted here: what a full one does was not tested")
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


def test_a_disk_that_is_full_is_a_sentence_wherever_it_ends(
    images: Path, version: Path, tmp_path: Path
) -> None:
    """In the index, a mask, a table: each time with other room left; then it goes on."""
    sentences = set()
    with small_disk(tmp_path / "disk", 256) as out:
        filler = out / "filler"
        for pages in (*range(16), 64):
            with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
                while True:
                    file.write(bytes(512))
            os.truncate(filler, max(0, filler.stat().st_size - 4096 * pages))
            said: list[str] = []
            try:
                call(images, version, out, said.append)
            except NnloopError as error:
                assert isinstance(error, PredictionError | FileFormatError)
                assert "full" in str(error) or "No space left on device" in str(error)
                assert str(out) in str(error) and error.remedy
                sentences.add(str(error))
                continue
            finally:
                filler.unlink()
            break
        assert len(sentences) >= 2
        assert sorted(masks(out)) == ["a0.png", "a1.png", "a2.png"]
        assert len((out / "predictions.csv").read_text().splitlines()) == 4
