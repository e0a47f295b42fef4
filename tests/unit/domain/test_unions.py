"""What a person says about unions of classes."""

from __future__ import annotations

import itertools
import random

import pytest

from domain.errors import SettingsError
from domain.labels import LabelClass, LabelGroup
from domain.unions import Target, UnionPlan, union_plan, union_text


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


def test_an_order_is_found_where_the_usual_one_would_hide_a_class() -> None:
    """The larger union is painted first, unless its last class is in the smaller one."""
    unions = ["big=a+b+c", "small=c+d"]
    group = _group("a", "b", "c", "d")
    plan = union_plan(group, unions)
    assert plan is not None
    assert [target.name for target in plan.targets] == ["small", "big", "a", "b"]
    # Whoever gives an order that does not do is told one that does.
    with pytest.raises(SettingsError, match="'c' would be predicted as 'd'") as told:
        union_plan(group, unions, ["c", "d", "a", "b"])
    order = "--order 'd' --order 'c' --order 'a' --order 'b'"
    assert told.value.remedy == f"Leave --order out, or paint them so: {order}"


def seen(plan: UnionPlan | None) -> bool:
    """Whether every class is predicted as itself where its unions are found."""
    assert plan is not None
    of_class = {k: [t.paints for t in plan.targets if k in t.members][-1:] for k in _painted(plan)}
    return all(of_class[k] == [k] for k in of_class)


def _painted(plan: UnionPlan) -> set[int]:
    return {target.paints for target in plan.targets}


def test_there_is_a_plan_wherever_some_order_does() -> None:
    """Of random unions: one that is refused has no order at all, and the usual one comes first."""
    rng = random.Random(4)
    n_refused = n_other = 0
    for _ in range(400):
        names = "abcd"[: rng.randint(2, 4)]
        group = _group(*names)
        rests = rng.sample(names, rng.randint(1, min(3, len(names))))
        unions = []
        for number, rest in enumerate(rests):
            others = [name for name in names if name != rest]
            members = [*rng.sample(others, rng.randint(1, len(others))), rest]
            unions.append(f"u{number}={'+'.join(members)}")
        usual = sorted(
            names, key=lambda n: (-max([len(u) for u in unions if u.endswith(n)], default=1), n)
        )
        possible = []
        for order in itertools.permutations(names):
            try:
                possible.append((order, union_plan(group, unions, order)))
            except SettingsError:
                continue
        if not possible:
            n_refused += 1
            with pytest.raises(SettingsError, match="would be predicted as"):
                union_plan(group, unions)
            continue
        plan = union_plan(group, unions)
        assert seen(plan)
        by_order = dict(possible)
        if tuple(usual) in by_order:
            assert plan == by_order[tuple(usual)]
        else:
            n_other += 1
    assert n_refused > 20 and n_other > 2


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("u=a+b", (1, 2)),  # the class 'a+b' alone is no union
        ('u="a+b"+c', (3, 4)),
        ('u="a"+"b"+c', (1, 2, 4)),
        ("u=c+a+b+a", (1, 3, 4)),  # no class is named twice
        ("u=a+b+c", None),
        ('u="a+b"', None),
    ],
)
def test_a_class_with_a_plus_in_its_name_beside_its_parts(
    text: str, members: tuple[int, ...] | None
) -> None:
    group = _group("a", "b", "a+b", "c")
    if members is None:
        with pytest.raises(SettingsError, match=r"may be|can't be read"):
            union_plan(group, [text])
        return
    plan = union_plan(group, [text])
    assert plan is not None and plan.unions[0].members == members


def test_a_union_is_written_so_that_it_is_read_as_meant() -> None:
    group = _group("a", "b", "a+b", "c", "b+c")
    for members in itertools.permutations(("a", "b", "a+b", "c", "b+c"), 3):
        plan = union_plan(group, [union_text("u", members, group)])
        assert plan is not None
        values = [c.value for c in group.classes]
        assert plan.unions[0].members == tuple(sorted(values.index(m) + 1 for m in members))
        assert plan.unions[0].rest == values.index(members[-1]) + 1
    assert union_text("vessel", ["lumen", "wall"], VESSEL) == "vessel=lumen+wall"


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
