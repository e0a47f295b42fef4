"""Files about the integers of masks that would let a class be lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from converters.classes.integers import classes_beside, integers_of
from domain.errors import FileFormatError


@pytest.mark.parametrize(
    ("file", "value", "said"),
    [
        ("classes.json", {"background": 0, "lumen": 1, "wall": 1}, "'lumen' and to 'wall'"),
        ("classes.json", {"background": 0, "wall": 2, "(ignored)": 2}, "integer 2"),
        ("classes.json", {"background": 0, "lumen": 0}, "integer 0"),
        ("classes.json", {"background": 7, "lumen": 0, "wall": 2}, "the background is 7"),
        ("dataset.json", {"labels": {"background": 0, "a": 1, "b": 1}}, "'a' and to 'b'"),
        ("dataset.json", {"labels": {"background": 0, "a": 1, "ignore": 1}}, "integer 1"),
    ],
)
def test_no_class_is_lost_without_a_word(
    file: str, value: object, said: str, tmp_path: Path
) -> None:
    (tmp_path / file).write_text(json.dumps(value))
    with pytest.raises(FileFormatError, match=said):
        classes_beside(tmp_path)


def test_integers_may_have_gaps_and_the_background_another_name(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text('{"nothing": 0, "lumen": 5, "(ignored)": 255}')
    found = classes_beside(tmp_path)
    assert (found.names, set(found.ignored)) == ({5: "lumen"}, {255})
    # As it is written where a label is called so.
    (tmp_path / "classes.json").write_text('{"background": 2, "lumen": 1}')
    assert classes_beside(tmp_path).names == {1: "lumen", 2: "background"}


@pytest.mark.parametrize(
    ("names", "background"),
    [
        ({"lumen": 255}, 7),
        ({"lumen": 1}, 2),  # as masks whose classes are 'lumen' and 'background' would say it
        ({"lumen": 2}, 1),
        ({"lumen": 1, "background": 2}, 0),
        ({"lumen": 1, "background": 2}, 3),
        ({"lumen": 255, "background": 9}, 7),
        ({"lumen": 1}, 0),
    ],
)
def test_what_is_said_of_a_background_is_read_as_meant(
    names: dict[str, int], background: int, tmp_path: Path
) -> None:
    (tmp_path / "classes.json").write_text(json.dumps(integers_of(names, background)))
    found = classes_beside(tmp_path)
    assert found.names == {number: name for name, number in names.items()}
    assert found.background == background
