"""Their classes and our labels: matched by name, or refused with the names of both sides."""

from __future__ import annotations

import unicodedata

import pytest

from converters.classes.matching import match_classes
from converters.label_studio.config.label_config import parse_label_config
from domain.errors import SettingsError
from domain.labels import LabelGroup


def _group(*labels: str) -> LabelGroup:
    tags = "".join(f"<Label {label}/>" for label in labels)
    return parse_label_config(
        "<View><Image name='image' value='$image'/>"
        f"<PolygonLabels name='label' toName='image'>{tags}</PolygonLabels></View>"
    ).group


GROSS = "gr\u00f6\u00dfe"
GROSS_NFD = unicodedata.normalize("NFD", GROSS)
LUMEN, WALL = "value='Lumen' predicted_values='vessel,artery'", "value='Wall' alias='w1'"


@pytest.mark.parametrize(
    ("names", "mapping", "found"),
    [
        (("Lumen",), {}, {"Lumen": 1}),
        (("lumen", "WALL"), {}, {"lumen": 1, "WALL": 2}),
        (("1_lumen",), {}, {"1_lumen": 1}),  # as nnloop's own versions say it
        (("artery", "w1"), {}, {"artery": 1, "w1": 2}),
        (("x", "lumen"), {"x": "wall"}, {"x": 2, "lumen": 1}),
        (("x", "lumen"), {"x": ""}, {"x": None, "lumen": 1}),
        (("x", "y"), {"x": "Lumen", "y": "Lumen"}, {"x": 1, "y": 1}),  # two become one
        (("lumen",), {"lumen": "Wall"}, {"lumen": 2}),  # what is asked for goes before the name
        ((GROSS_NFD,), {GROSS: "Lumen"}, {GROSS_NFD: 1}),  # of macOS, and as it is typed
        ((), {}, {}),
    ],
)
def test_matches(
    names: tuple[str, ...], mapping: dict[str, str], found: dict[str, int | None]
) -> None:
    matched = match_classes(names, _group(LUMEN, WALL), mapping)
    assert {n: c.index if c else None for n, c in matched.by_name.items()} == found
    assert matched.remarks == ()


def test_a_name_is_one_in_either_unicode_form() -> None:
    for theirs, ours in ((GROSS, GROSS_NFD), (GROSS_NFD, GROSS)):
        matched = match_classes((theirs,), _group(LUMEN, f"value='{ours}'"), {})
        assert matched.by_name[theirs] is not None


def test_one_class_on_both_sides_matches_by_itself_and_says_so() -> None:
    matched = match_classes(("anything",), _group(LUMEN), {})
    assert matched.by_name["anything"] is not None
    assert "'anything' was taken for 'Lumen'" in matched.remarks[0]


@pytest.mark.parametrize(
    ("names", "labels", "mapping", "words"),
    [
        (("lesion",), (LUMEN, WALL), {}, "'lesion' is no label"),
        (("lesion", "cyst", "lumen"), (LUMEN, WALL), {}, "'lesion', 'cyst' are no labels"),
        (("lesion", "lumen"), (LUMEN,), {}, "'lesion' is no label"),  # two on one side
        (("lesion", "cyst"), (LUMEN,), {"cyst": ""}, "'lesion' is no label"),
        (("lumen",), (LUMEN,), {"x": "Lumen"}, "'x', which the source lacks"),
        (("lumen",), (LUMEN,), {"lumen": "x"}, "'x', which is no label"),
        (("#ff0000", "#00ff00"), (LUMEN, WALL), {}, "of a colour picture"),
    ],
)
def test_refused_with_the_names_of_both_sides(
    names: tuple[str, ...], labels: tuple[str, ...], mapping: dict[str, str], words: str
) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        match_classes(names, _group(*labels), mapping)
    assert (
        f"The source has {', '.join(names)}; the labelling interface Lumen" in caught.value.remedy
    )


def test_a_thousand_classes_make_no_endless_message() -> None:
    names = tuple(f"class_{i}" for i in range(1000))
    with pytest.raises(SettingsError, match="and 970 more are no labels") as caught:
        match_classes(names, _group(LUMEN, WALL), {})
    assert len(caught.value.remedy) < 1000
    assert "--map 'class_0=LABEL'" in caught.value.remedy


def test_a_class_that_does_not_occur_may_be_mapped() -> None:
    matched = match_classes(("lumen",), _group(LUMEN, WALL), {"rare": "Wall"}, known=("rare",))
    assert set(matched.by_name) == {"lumen"}
