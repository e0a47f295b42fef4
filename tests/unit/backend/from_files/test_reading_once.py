"""Masks are decoded once at each reading; what is left out stands in a file, all of it."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from backend.cli.views.training_view import MOST_LEFT_OUT, say_reading
from backend.from_files.context import PROJECT
from backend.from_files.labels import spool
from backend.from_files.labels.guess import placed
from backend.from_files.labels.left_out import write_left_out
from backend.from_files.labels.reading import Reading
from backend.from_files.labels.sources import OtherSource
from backend.from_files.labels.spool import Spool
from backend.pipeline.basis.annotations import label_config_of
from backend.store import projects
from converters.imports.formats import format_by_name
from converters.imports.readers import class_masks, masks
from converters.imports.source import ImportedImage, ImportOptions
from converters.label_studio.config.inferred_config import polygon_label_config
from converters.label_studio.config.label_config import parse_label_config
from converters.masks.label_map_files import read_mask
from domain.annotation import LeftOut
from tests.unit.backend.from_files.material import SIDE, read, write_image
from tests.unit.backend.from_files.test_other_sources import drawn, masks_of, noise


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each mask is decoded."""
    found: Counter[str] = Counter()
    real = read_mask

    def counting(path: Path) -> object:
        found[path.name] += 1
        return real(path)

    for reader in (masks, class_masks):
        monkeypatch.setattr(reader, "read_mask", counting)
    return found


def test_a_mask_is_decoded_once_at_each_reading(tmp_path: Path, decoded: Counter[str]) -> None:
    source = masks_of(tmp_path, {"a": noise(0), "b": noise(1)})
    for n in (1, 2):
        read(tmp_path / "out", source)
        assert decoded == {"a.png": n, "b.png": n}


def test_masks_in_a_folder_for_each_class_too(tmp_path: Path, decoded: Counter[str]) -> None:
    for name in ("lumen", "wall"):
        (tmp_path / "masks" / name).mkdir(parents=True)
        square = np.zeros((SIDE, SIDE), np.uint8)
        square[4:20, 4 : 20 + len(name)] = 255  # they overlap
        cv2.imwrite(str(tmp_path / "masks" / name / "a.png"), square)
    (tmp_path / "images").mkdir()
    write_image(tmp_path / "images" / "a.png", 0)
    path, images = placed(tmp_path, "masks", None)
    context, reading = read(
        tmp_path / "out", OtherSource(format_by_name("masks"), path, images, empty_as_negative=True)
    )
    assert (reading.labelled, reading.left_out) == (1, ())
    assert decoded == {"a.png": 2}  # one of each class
    assert set(np.unique(drawn(context)["a.png"])) == {0, 1, 2}


def test_one_reading_sees_one_moment_and_the_next_one_sees_what_came(tmp_path: Path) -> None:
    source = masks_of(tmp_path, {"a": noise(0)})
    xml = source.label_config()
    before = [one for one in source._spools[0].entries() if isinstance(one, ImportedImage)]
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), noise(5))
    context, _ = read(tmp_path / "out", source)  # asks for the classes anew
    np.testing.assert_array_equal(drawn(context)["a.png"], noise(5))
    assert before[0].label_map is not None
    np.testing.assert_array_equal(before[0].label_map, noise(0))
    assert "lumen" in xml


@pytest.mark.parametrize("in_memory", [1, 2**20])
def test_a_spool_gives_back_what_went_in(
    in_memory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_IN_MEMORY_BYTES", in_memory)
    source = masks_of(tmp_path, {name: noise(k) for k, name in enumerate("abcde")})
    (tmp_path / "masks" / "c.png").write_bytes(b"broken")
    format_ = format_by_name("masks")
    expected = list(format_.read(source.path, source.options))
    kept = Spool(format_.read(source.path, source.options))
    first, second = kept.entries(), kept.entries()
    for one, other, truth in zip(first, second, expected, strict=True):  # two at once
        for found in (one, other):
            assert type(found) is type(truth)
            if isinstance(truth, LeftOut):
                assert found == truth
            else:
                assert isinstance(found, ImportedImage)
                assert (found.key, found.used_names) == (truth.key, truth.used_names)
                np.testing.assert_array_equal(found.label_map, truth.label_map)
    assert list(Spool(iter(())).entries()) == []


def test_colours_mean_what_the_list_beside_them_says(tmp_path: Path) -> None:
    """Not what the colours of an interface mean that was made up of their names."""
    colors = {"c": (46, 213, 115), "a": (0, 158, 255), "b": (255, 159, 28)}
    lines = [f"{name}:{','.join(map(str, rgb))}::" for name, rgb in colors.items()]
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    (tmp_path / "masks" / "labelmap.txt").write_text("\n".join(["background:0,0,0::", *lines]))
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    for number, rgb in enumerate(colors.values()):
        picture[5:30, 5 + 10 * number : 15 + 10 * number] = rgb
    cv2.imwrite(str(tmp_path / "masks" / "x.png"), picture[:, :, ::-1])
    write_image(tmp_path / "images" / "x.png", 0)
    path, images = placed(tmp_path, "masks", None)
    source = OtherSource(format_by_name("masks"), path, images)
    context, _ = read(tmp_path / "out", source)
    with context.store.read() as session:
        project = projects.get(session, PROJECT)
        config = label_config_of(project, project.settings)
    found = drawn(context)["x.png"]
    for number, name in enumerate(colors):
        label = config.group.class_by_value(name)
        assert label is not None
        assert set(found[5:30, 5 + 10 * number : 15 + 10 * number].ravel()) == {label.index}
    # Where a person gives an interface whose colours are turned round, the list counts as well.
    turned = parse_label_config(polygon_label_config(["c", "b", "a"]))
    options = ImportOptions(colors={c.color: c.value for c in turned.group.classes})
    (image,) = format_by_name("masks").read(path, options)
    assert isinstance(image, ImportedImage)
    assert image.class_names == ("a", "c", "b")  # in order of the colours' numbers


def test_all_that_is_left_out_stands_in_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    n = MOST_LEFT_OUT + 15
    source = masks_of(tmp_path, {f"scan{k:02d}": noise(k) for k in range(n + 1)})
    for k in range(n):
        (tmp_path / "images" / f"scan{k:02d}.png").unlink()
    _, reading = read(tmp_path / "out", source)
    assert len(reading.left_out) == n
    write_left_out(tmp_path / "out", reading.left_out)
    say_reading(reading, tmp_path / "out")
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("Left out:") == MOST_LEFT_OUT
    assert (
        f"... and 15 more. What was left out and why: {tmp_path / 'out' / 'left_out.csv'}" in said
    )
    with (tmp_path / "out" / "left_out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["reason"] for row in rows] == ["image_missing"] * n
    assert all(f"'scan{k:02d}.png'" in row["message"] for k, row in enumerate(rows))
    # What a training leaves out stands there too; where nothing is left out any more, no file is.
    note = LeftOut(1, "no_group", "scan.png, in two lines\nof text.", "r1")
    write_left_out(tmp_path / "out", [], [note])
    with (tmp_path / "out" / "left_out.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["while"], row["what"], row["region"]) == ("training", "used, with a remark", "r1")
    assert row["message"] == note.message
    write_left_out(tmp_path / "out", ())
    assert not (tmp_path / "out" / "left_out.csv").exists()


def test_nothing_is_said_where_nothing_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    say_reading(Reading(3, 0, 0, 3, ()), tmp_path)
    assert json.dumps(capsys.readouterr().out) == '"3 labelled images.\\n"'
