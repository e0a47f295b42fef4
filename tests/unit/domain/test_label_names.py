from __future__ import annotations

import pytest

from domain.labels import LabelNames

PRESENT = ("lumen", "wall")


@pytest.mark.parametrize(
    ("mapping", "names", "now"),
    [
        ({}, ("lumen", "plaque"), ("lumen", "plaque")),
        ({"a": "b", "b": "lumen"}, ("a", "b", "lumen"), ("lumen", "lumen", "lumen")),
        # What the interface has is itself, also when it was mapped while it was away.
        ({"lumen": "wall"}, ("lumen",), ("lumen",)),
        ({"a": ""}, ("a", "wall"), ("a", "wall")),
        # Never written, but it must end.
        ({"a": "b", "b": "a"}, ("a",), ("a",)),
    ],
)
def test_current_names(
    mapping: dict[str, str], names: tuple[str, ...], now: tuple[str, ...]
) -> None:
    assert LabelNames(mapping, PRESENT).current_names(names) == now


def test_values_of_classes_that_became_one_keep_their_names() -> None:
    names = LabelNames({"a": "lumen", "b": "lumen", "c": "wall"}, PRESENT)
    assert names.renamed({"a": 1.0, "c": 2.0}) == {"lumen": 1.0, "wall": 2.0}
    assert names.renamed({"a": 1.0, "b": 2.0}) == {"a": 1.0, "b": 2.0}


@pytest.mark.parametrize(
    ("before", "after", "agrees"),
    [
        (LabelNames({}, ("a",)), LabelNames({"a": "lumen"}, PRESENT), True),  # a rename since
        (LabelNames({"a": "b"}, ("b",)), LabelNames({"a": "b", "b": "wall"}, PRESENT), True),
        (LabelNames({"a": "lumen"}, PRESENT), LabelNames({"a": "wall"}, PRESENT), False),
        (LabelNames({"a": "lumen"}, PRESENT), LabelNames({"a": ""}, PRESENT), False),
        (LabelNames({"a": ""}, PRESENT), LabelNames({"a": ""}, PRESENT), True),
        (LabelNames({}, ("a", "b")), LabelNames({"b": ""}, ("a",)), False),
        (LabelNames({"a": "lumen"}, PRESENT), LabelNames({}, PRESENT), False),
    ],
)
def test_whether_two_mappings_read_annotations_alike(
    before: LabelNames, after: LabelNames, agrees: bool
) -> None:
    assert after.agrees_with(before) is agrees
