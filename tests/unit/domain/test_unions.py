"""What a person says about unions of classes."""

from __future__ import annotations

import pytest

from domain.errors import SettingsError
from domain.labels import LabelClass, LabelGroup
from domain.unions import Target, union_plan


def _group(*names: str) -> LabelGroup:
    classes = tuple(LabelClass(i, name) for i, name in enumerate(names, start=1))
    return LabelGroup("label", "image", "polygonlabels", classes)


VESSEL = _group("lumen", "wall")
TUMOUR = _group("edema", "core", "enhancing")


def test_without_unions_there_is_no_plan() -> None:
    assert union_plan(VESSEL, ()) is None


def test_the_class_named_last_is_the_rest_and_the_union_is_painted_first() -> None:
    plan = union_plan(VESSEL, ["vessel=lumen+wall"])
    assert plan is not None
    assert plan.targets == (Target("vessel", (1, 2), 2), Target("lumen", (1,), 1))


def test_unions_within_unions_as_in_brats() -> None:
    plan = union_plan(TUMOUR, ["core of it=enhancing+core", "whole = core + enhancing + edema"])
    assert plan is not None
    assert plan.targets == (
        Target("whole", (1, 2, 3), 1),
        Target("core of it", (2, 3), 2),
        Target("enhancing", (3,), 3),
    )


def test_every_class_is_painted_once_whatever_the_number_of_others() -> None:
    plan = union_plan(_group("a", "b", "c", "d"), ["cd=d+c"])
    assert plan is not None
    assert [target.paints for target in plan.targets] == [3, 1, 2, 4]


def test_an_order_of_ones_own() -> None:
    plan = union_plan(VESSEL, ["vessel=lumen+wall"], ["wall", "lumen"])
    assert plan == union_plan(VESSEL, ["vessel=lumen+wall"])
    with pytest.raises(SettingsError, match="'lumen' would be predicted as 'wall'"):
        union_plan(VESSEL, ["vessel=lumen+wall"], ["lumen", "wall"])


@pytest.mark.parametrize(
    ("unions", "order", "words"),
    [
        (["vessel"], (), "can't be read"),
        (["vessel=lumen"], (), "can't be read"),
        (["vessel=lumen+lumen"], (), "can't be read"),
        (["=lumen+wall"], (), "can't be read"),
        (["vessel=lumen+plaque"], (), "can't be read"),
        (["a=lumen+wall", "b=lumen+wall"], (), "same class as their last"),
        (["a=lumen+wall", "a=wall+lumen"], (), "same name"),
        (["wall=lumen+wall"], (), "called as a class"),
        (["vessel=lumen+wall"], ["lumen"], "order of painting"),
        (["vessel=lumen+wall"], ["lumen", "lumen"], "order of painting"),
        (["vessel=lumen+wall"], ["lumen", "plaque"], "order of painting"),
        # Two that only overlap can't be told apart again.
        (["a=lumen+wall", "b=wall+lumen"], (), "would be predicted as"),
    ],
)
def test_what_can_not_be_is_said(unions: list[str], order: list[str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        union_plan(VESSEL, unions, order)


def test_names_with_a_plus_and_former_names() -> None:
    group = _group("CD4+", "CD4+CD8", "rest")
    plan = union_plan(group, ["cells=CD4++CD4+CD8+rest"])
    assert plan is not None
    assert plan.unions[0].members == (1, 2, 3)
    assert plan.unions[0].rest == 3
    renamed = LabelGroup(
        "label",
        "image",
        "polygonlabels",
        (LabelClass(1, "lumen"), LabelClass(2, "vessel wall", former_values=("wall",))),
    )
    assert union_plan(renamed, ["vessel=lumen+wall"]) == union_plan(VESSEL, ["vessel=lumen+wall"])


def test_labels_that_are_no_classes_are_no_members() -> None:
    group = LabelGroup(
        "label",
        "image",
        "polygonlabels",
        (LabelClass(1, "lumen"), LabelClass(2, "wall")),
        ignore_label=LabelClass(3, "blurred"),
    )
    with pytest.raises(SettingsError, match="can't be read"):
        union_plan(group, ["vessel=lumen+blurred"])
