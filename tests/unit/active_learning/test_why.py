import doctest

import pytest

from active_learning import why as module
from active_learning.measures import ClassMeasures, ImageMeasures
from active_learning.why import note_in_names_of, why

SURE = ClassMeasures(0.2, 0.99, 0.97, 0.96)
TORN = ClassMeasures(0.2, 0.9, 0.8, 0.5)
DULL = ClassMeasures(0.2, 0.7, 0.6, 0.9)
ABSENT = ClassMeasures(0.0, 0.01, None, None)
NEAR = ClassMeasures(0.0, 0.45, None, 0.0)


def line_of(measures: ImageMeasures, cases: dict[str, int] | None = None) -> str:
    found = why(measures, cases)
    assert found is None or found.class_value in found.line
    return found.line if found else ""


def of(n_folds: int = 3, **classes: ClassMeasures) -> ImageMeasures:
    return ImageMeasures(n_folds, 0.8, 0.8, 0.0, 0.0, 0.0, 0.0, classes)


@pytest.mark.parametrize(
    ("measures", "line"),
    [
        (of(lumen=SURE, wall=TORN), "folds disagree on wall"),
        (of(lumen=SURE, wall=DULL), "unsure about wall"),
        (of(lumen=TORN, wall=DULL), "folds disagree on lumen"),  # 0.5 against 0.4
        (of(lumen=SURE, wall=NEAR), "maybe wall, which is not drawn"),
        (of(lumen=SURE, wall=ABSENT), ""),
        (of(lumen=SURE, wall=SURE), ""),
        (of(), ""),
        # One fold has nobody to disagree with, but the mirrored image.
        (of(1, wall=ClassMeasures(0.2, 0.7, 0.6, None)), "unsure about wall"),
        (of(1, lumen=SURE, wall=TORN), "mirror images disagree on wall"),
    ],
)
def test_what_is_least_certain_is_said(measures: ImageMeasures, line: str) -> None:
    assert line_of(measures) == line
    assert line_of(measures, {"lumen": 50, "wall": 50}) == line


@pytest.mark.parametrize(
    ("n", "line"),
    [
        (0, "class plaque seen never"),
        (1, "class plaque seen once"),
        (2, "class plaque seen twice"),
        (4, "class plaque seen 4 times"),
        (5, "folds disagree on wall"),
    ],
)
def test_a_class_hardly_ever_seen_comes_first(n: int, line: str) -> None:
    measures = of(wall=TORN, plaque=SURE)
    assert line_of(measures, {"wall": 40, "plaque": n}) == line


def test_a_rare_class_that_is_not_predicted_is_no_reason() -> None:
    assert (
        line_of(of(wall=TORN, plaque=ABSENT), {"wall": 40, "plaque": 1}) == "folds disagree on wall"
    )


def test_a_class_of_which_nobody_has_counted_is_not_called_rare() -> None:
    assert line_of(of(wall=TORN, plaque=SURE), {"wall": 40}) == "folds disagree on wall"


def test_an_image_unlike_the_others_is_told_before_what_folds_say_and_after_a_rare_class() -> None:
    torn = of(wall=TORN, plaque=SURE)
    assert why(torn, {"wall": 40, "plaque": 40}, is_unlike=True) == (
        "unlike anything labelled",
        "",
    )
    rare = why(torn, {"wall": 40, "plaque": 1}, is_unlike=True)
    assert rare == ("class plaque seen once", "plaque")


def test_the_example_of_the_docstring() -> None:
    assert doctest.testmod(module).failed == 0
    assert doctest.testmod(module).attempted > 0


@pytest.mark.parametrize(
    ("measures", "cases"),
    [
        (of(wall=TORN), None),
        (of(1, wall=TORN), None),
        (of(wall=DULL), None),
        (of(wall=NEAR), None),
        *[(of(wall=TORN), {"wall": n}) for n in range(5)],
    ],
)
def test_every_line_is_known_again_by_the_class_it_names(
    measures: ImageMeasures, cases: dict[str, int] | None
) -> None:
    """A line that a note is never made of would keep its old name for ever."""
    found = why(measures, cases)
    assert found is not None
    assert note_in_names_of(found.note, lambda name: name) == found.note
    renamed = found.note.replace("wall", "the (outer) wall.")
    assert note_in_names_of(found.note, {"wall": "the (outer) wall."}.get) == renamed
    assert note_in_names_of(renamed, {"the (outer) wall.": "wall"}.get) == found.note
    assert note_in_names_of(found.note, lambda _: None) is None


@pytest.mark.parametrize(
    "note", ["Unlike anything labelled.", "Polygon: 30 points.", "", "Unsure about .", "wall"]
)
def test_other_notes_stay_as_they_are(note: str) -> None:
    assert note_in_names_of(note, lambda _: None) == note
