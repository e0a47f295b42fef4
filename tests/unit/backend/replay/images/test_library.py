from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.replay.images.library import (
    Labelled,
    Library,
    LibraryCase,
    Pixels,
    case_id_of,
    read_library,
    truth_of,
    with_class,
    write_library,
)
from domain.errors import DocumentError, FileFormatError, NotEnoughCasesError
from domain.geometry import LabelMap

CLASSES = ("disc", "square")


def labelled(name: str, value: int = 1, *, group: str = "", side: int = 20) -> Labelled:
    def read() -> tuple[Pixels, LabelMap]:
        truth = np.zeros((20, 30), np.uint8)
        truth[5:10, 5:10] = value
        return np.full((20, side + 10), 7, np.uint8), truth

    return Labelled(name, group or name, read)


def unreadable() -> tuple[Pixels, LabelMap]:
    raise FileFormatError("it is no image.")


def library(groups: list[str]) -> Library:
    cases = [LibraryCase(f"c{i:03d}", group, f"h{i}", (0.1,)) for i, group in enumerate(groups)]
    return Library(("disc",), 1, tuple(cases))


def test_images_are_copied_and_what_can_not_be_used_is_said(tmp_path: Path) -> None:
    images = [
        labelled("b", 2),
        labelled("a", 1, group="patient"),
        labelled("broken file"),
        labelled("wide", side=40),
        labelled("three", 3),
        Labelled("gone", "gone", unreadable),
    ]
    found = write_library(images, CLASSES, tmp_path, left_out=["x.png: there is no image for it."])
    assert [case.case_id for case in found.cases] == ["a", "b", case_id_of("broken file")]
    assert found.cases[0].group == "patient"
    assert found.cases[0].shares == pytest.approx((25 / 600, 0))
    assert found.n_channels == 1
    assert [sentence.split(":")[0] for sentence in found.left_out] == [
        "x.png",
        "wide",
        "three",
        "gone",
    ]
    assert "20 x 30" in found.left_out[1] and "20 x 50" in found.left_out[1]
    assert read_library(tmp_path) == found
    assert (truth_of(tmp_path, "b") == 2).sum() == 25
    assert set(found.files(tmp_path)) == {case.case_id for case in found.cases}
    assert with_class(found.cases, CLASSES) == {"disc": 2, "square": 1}


def test_none_that_can_be_used(tmp_path: Path) -> None:
    with pytest.raises(NotEnoughCasesError, match="no image"):
        write_library([Labelled("gone", "gone", unreadable)], CLASSES, tmp_path)
    with pytest.raises(DocumentError, match="no library"):
        read_library(tmp_path)


def test_images_that_go_while_it_is_played_are_named(tmp_path: Path) -> None:
    found = write_library([labelled("a"), labelled("b")], CLASSES, tmp_path)
    next(tmp_path.rglob("a_0000.png")).unlink()
    with pytest.raises(DocumentError, match="such as a"):
        found.files(tmp_path)


def test_another_content_is_another_library(tmp_path: Path) -> None:
    before = write_library([labelled("a"), labelled("b")], CLASSES, tmp_path)
    after = write_library([labelled("a"), labelled("b", 2)], CLASSES, tmp_path)
    assert before.digest != after.digest
    assert before.cases[0] == after.cases[0]


@given(
    st.lists(st.integers(0, 30).map("g{}".format), min_size=2, max_size=60).filter(
        lambda groups: len(set(groups)) > 1
    ),
    st.floats(0.01, 0.9),
)
def test_groups_are_never_on_both_sides(groups: list[str], share: float) -> None:
    pool, test = library(groups).divided(share)
    assert pool and test
    assert not {case.group for case in pool} & {case.group for case in test}
    assert sorted((*pool, *test), key=lambda case: case.case_id) == list(library(groups).cases)
    largest = max(groups.count(group) for group in groups)
    assert len(test) <= max(1, round(share * len(groups) + 0.5)) + largest


def test_the_test_set_is_the_share_and_stays_when_the_order_changes() -> None:
    names = [f"image{i}" for i in range(100)]
    pool, test = library(names).divided(0.3)
    assert (len(pool), len(test)) == (70, 30)
    _, again = library(names[::-1]).divided(0.3)
    assert {case.group for case in test} == {case.group for case in again}


def test_one_group_can_not_be_divided() -> None:
    with pytest.raises(NotEnoughCasesError, match="2 groups"):
        library(["a", "a", "a"]).divided(0.3)


def test_names_that_are_no_file_names() -> None:
    assert case_id_of("scan_1") == "scan_1"
    for name in ("scan 1", ".hidden", "ä", "x" * 200, "a/b"):
        assert case_id_of(name).startswith("image_")
    assert case_id_of("a b") != case_id_of("a c")
