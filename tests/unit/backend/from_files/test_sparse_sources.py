"""Files of which not every pixel is known, as sources of a training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.cli.commands.train_files import FilesRequest, _opened
from backend.from_files.labels.sources import ExportSource
from backend.settings import ProjectSettings
from domain.errors import LabelConfigError
from domain.geometry import LabelMap
from tests.unit.backend.from_files.material import SIDE, read, region, task, write_export
from tests.unit.backend.from_files.test_other_sources import drawn, masks_of


def request_of(folder: Path, **changes: Any) -> FilesRequest:
    """What `nnloop train FOLDER --out ...` makes of its command line."""
    request = FilesRequest(
        source=folder,
        out=folder.parent / "out",
        images=None,
        format_="masks",
        label_config=None,
        classes=(),
        mapping={},
        empty_as_negative=False,
        again=False,
        settings={},
        overrides={},
    )
    return replace(request, **changes)


def noise(seed: int, n: int = 4) -> LabelMap:
    return np.random.default_rng(seed).integers(0, n, (SIDE, SIDE), dtype=np.uint8)


def write(folder: Path, masks: dict[str, LabelMap], said: dict[str, Any], name: str) -> None:
    folder.mkdir(exist_ok=True)
    masks_of(folder, masks)
    (folder / "masks" / name).write_text(json.dumps(said))


SAID: list[tuple[str, dict[str, Any]]] = [
    ("classes.json", {"background": 0, "lumen": 1, "wall": 2, "(ignored)": 3}),
    ("dataset.json", {"labels": {"background": 0, "lumen": 1, "wall": 2, "ignore": 3}}),
]


@pytest.mark.parametrize(("name", "said"), SAID)
def test_what_masks_ignore_is_ignored_pixel_by_pixel(
    tmp_path: Path, name: str, said: dict[str, Any]
) -> None:
    masks = {"a": noise(0), "b": noise(1), "dots": np.full((SIDE, SIDE), 3, np.uint8)}
    masks["dots"][5, 7], masks["dots"][20:22] = 1, 0
    write(tmp_path / "in", masks, said, name)
    opened = _opened(request_of(tmp_path / "in"), ProjectSettings(), "")
    assert opened.ignore_label == "ignore"
    context, reading = read(tmp_path / "out", opened.source, ignore_label=opened.ignore_label)
    assert (reading.labelled, reading.left_out) == (3, ())
    found = drawn(context)
    for stem, mask in masks.items():
        np.testing.assert_array_equal(found[f"{stem}.png"], mask)


@pytest.mark.parametrize(("name", "said"), SAID)
def test_newer_masks_that_ignore_nothing(tmp_path: Path, name: str, said: dict[str, Any]) -> None:
    """The folder keeps its setting, and the label that it names."""
    write(tmp_path / "in", {"a": noise(0, 3), "b": noise(1, 3)}, said, name)
    # It is said to be ignored, and no pixel is.
    opened = _opened(request_of(tmp_path / "in"), ProjectSettings(), "")
    context, _ = read(tmp_path / "out", opened.source, ignore_label=opened.ignore_label)
    np.testing.assert_array_equal(drawn(context)["a.png"], noise(0, 3))
    (tmp_path / "in" / "masks" / name).write_text('{"background": 0, "lumen": 1, "wall": 2}')
    if name == "dataset.json":
        (tmp_path / "in" / "masks" / name).rename(tmp_path / "in" / "masks" / "classes.json")
    kept = ProjectSettings(ignore_label=opened.ignore_label)
    again = _opened(request_of(tmp_path / "in"), kept, "")
    context, _ = read(tmp_path / "out", again.source, ignore_label=again.ignore_label)
    np.testing.assert_array_equal(drawn(context)["b.png"], noise(1, 3))


def test_classes_that_a_person_names_are_classes(tmp_path: Path) -> None:
    name, said = SAID[0]
    write(tmp_path / "in", {"a": noise(0)}, said, name)
    request = request_of(tmp_path / "in", classes=("lumen", "wall", "debris"))
    assert _opened(request, ProjectSettings(), "").ignore_label == ""
    # A class of the word's own name is not taken for it.
    said = {"background": 0, "ignore": 1, "wall": 2, "(ignored)": 3}
    write(tmp_path / "in", {"a": noise(0)}, said, name)
    opened = _opened(request_of(tmp_path / "in"), ProjectSettings(), "")
    assert opened.ignore_label == "(ignored)"
    context, _ = read(tmp_path / "out", opened.source, ignore_label=opened.ignore_label)
    np.testing.assert_array_equal(drawn(context)["a.png"], noise(0))


PART = {"from_name": "rest", "to_name": "image", "type": "choices", "value": {"choices": ["part"]}}


def test_an_export_with_scribbles_and_a_choice(tmp_path: Path) -> None:
    rows = [
        task(1, [region("lumen"), region("Rest", at=0, size=8), PART]),
        task(2, [region("lumen"), region("Ignore", at=25, size=10)]),
    ]
    path = write_export(tmp_path, rows)
    context, _ = read(
        tmp_path / "out",
        path,
        ignore_label="Ignore",
        background_label="Rest",
        unlabelled_choice="part",
    )
    by_image = drawn(context)
    (first, second) = (by_image[key] for key in sorted(by_image))
    assert [int((first == k).sum()) for k in (0, 1, 2)] == [64, 400, SIDE * SIDE - 464]
    assert [int((second == k).sum()) for k in (1, 2)] == [375, 100]


def test_a_newer_export_in_which_nobody_leaves_anything_open(tmp_path: Path) -> None:
    """The folder keeps its settings, and the interface that has their label and choice."""
    rows = [
        task(1, [region("lumen"), region("Rest", at=0, size=8), PART]),
        task(2, [region("lumen"), region("Ignore", at=25, size=10)]),
    ]
    settings = {"ignore_label": "Ignore", "background_label": "Rest", "unlabelled_choice": "part"}
    out = tmp_path / "out"
    before = drawn(read(out, write_export(tmp_path, rows), **settings)[0])
    newer = [task(1, [region("lumen")]), task(2, [region("lumen")])]
    context, _ = read(out, write_export(tmp_path, newer))
    (first, second) = (drawn(context)[key] for key in sorted(before))
    for label_map in (first, second):
        assert [int((label_map == k).sum()) for k in (0, 1, 2)] == [SIDE * SIDE - 400, 400, 0]
    # A new class needs an interface of its own, and that lacks the label.
    other = [task(1, [region("wall")]), task(2, [region("lumen")])]
    with pytest.raises(LabelConfigError, match="unlabelled_choice names 'part'"):
        read(out, write_export(tmp_path, other))
    # Taken away by the person, it holds no more.
    gone = dict.fromkeys(settings, "")
    context, _ = read(out, write_export(tmp_path, other), **gone)
    assert sorted(np.unique(list(drawn(context).values())).tolist()) == [0, 1, 2]


def test_scribbles_without_any_background_are_told(tmp_path: Path) -> None:
    """One stroke in each image, the rest ignored: nothing says what the classes are not."""
    path = write_export(tmp_path, [task(n, [region("lumen", size=3)]) for n in (1, 2)])
    context, reading = read(tmp_path / "out", path, unlabelled="ignore")
    assert [sentence.partition(",")[0] for sentence in reading.said] == [
        "Unlabelled pixels are ignored"
    ]
    for label_map in drawn(context).values():
        assert [int((label_map == k).sum()) for k in (0, 1, 2)] == [0, 9, SIDE * SIDE - 9]
    path = write_export(tmp_path, [task(1, [region("lumen"), region("Rest", at=0, size=8)])])
    _, reading = read(tmp_path / "b", path, unlabelled="ignore", background_label="Rest")
    assert reading.said == ()


def test_json_min_says_the_choice_too(tmp_path: Path) -> None:
    """Only the interface tells it from the tasks' data."""
    full = task(1, [region("lumen")])
    images = write_export(tmp_path, [full]).parent / "images"
    entry = full["annotations"][0]["result"][0]
    drawn_ = {**entry["value"], "original_width": SIDE, "original_height": SIDE}
    row = {"image": full["data"]["image"], "id": 1, "label": [drawn_], "rest": "part"}
    row |= {"annotator": 1, "annotation_id": 2, "created_at": "", "updated_at": "", "lead_time": 1}
    (tmp_path / "min.json").write_text(json.dumps([row]))
    source = ExportSource(tmp_path / "min.json", images)
    with pytest.raises(LabelConfigError, match="no choice of the labelling"):
        read(tmp_path / "none", source, unlabelled_choice="part")
    xml = source.label_config().replace(
        "</View>", '<Choices name="rest" toName="image"><Choice value="part"/></Choices></View>'
    )

    class Given(ExportSource):
        def label_config(self, first: Sequence[str] = ()) -> str:
            return xml

    context, _ = read(
        tmp_path / "out", Given(tmp_path / "min.json", images), unlabelled_choice="part"
    )
    (label_map,) = drawn(context).values()
    assert [int((label_map == k).sum()) for k in (0, 1, 2)] == [0, 400, SIDE * SIDE - 400]
