"""Unions of classes in nnU-Net's dataset.json: names of the classes, and settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from converters.classes.dataset_unions import (
    SaidUnions,
    class_names,
    labels_with_unions,
    read_unions,
)
from converters.classes.integers import classes_beside, unions_beside
from domain.errors import FileFormatError
from domain.labels import LabelClass, LabelGroup
from domain.unions import UnionPlan, union_plan


def dataset(order: Any = None, **labels: Any) -> dict[str, Any]:
    about: dict[str, Any] = {"labels": {"background": 0, **labels}}
    return about if order is None else {**about, "regions_class_order": order}


KIDNEY = dataset([1, 3, 2], kidney=[1, 2, 3], masses=[2, 3], tumor=2)


def group(*names: str) -> LabelGroup:
    return LabelGroup("", "", "", tuple(LabelClass(k, n) for k, n in enumerate(names, start=1)))


def plan_of(said: SaidUnions, *names: str) -> UnionPlan:
    found = union_plan(group(*names), said.unions, said.order)
    assert found is not None
    return found


def test_what_is_left_of_a_union_is_called_so() -> None:
    assert class_names(KIDNEY) == {1: "rest of kidney", 2: "tumor", 3: "rest of masses"}
    said = read_unions(KIDNEY, class_names(KIDNEY))
    assert said.unions == (
        "kidney=tumor+rest of masses+rest of kidney",
        "masses=tumor+rest of masses",
    )
    assert said.order == ()  # the larger unions first, as everywhere
    later = dataset([3, 1, 2], stone=3, vessel=[1, 2], core=2)
    said = read_unions(later, class_names(later))
    assert said.order == ("stone", "rest of vessel", "core")


@pytest.mark.parametrize(
    "about",
    [
        KIDNEY,
        dataset([1, 2, 3], whole=[1, 2, 3], core=[2, 3], enhancing=3),
        # As a list, beside a class by itself; the largest is not the first of the file.
        dataset([3, 1, 2], stone=[3], vessel=[1, 2], core=2),
        # The class that a union is painted as is a label by itself too.
        dataset([1, 1, 2], vessel=[1, 2], wall=1, lumen=2),
        dataset([1, 1, 2], wall=1, vessel=[1, 2], lumen=2),
        # Nothing tells 1 from 2: they are one class.
        dataset([1, 3], whole=[1, 2, 3], core=3),
    ],
)
def test_painted_as_nnunet_paints(about: dict[str, Any]) -> None:
    """Whatever the unions that are truly there: the class is the one nnU-Net predicts."""
    names = class_names(about)
    classes = list(dict.fromkeys(names[k] for k in sorted(names)))
    plan = plan_of(read_unions(about, names), *classes)
    manager = LabelManager(about["labels"], about["regions_class_order"])
    for integer, name in names.items():
        regions = manager.foreground_regions
        true = [integer in (r if isinstance(r, tuple) else (r,)) for r in regions]
        chances = torch.tensor(true, dtype=torch.float32)[:, None, None]
        painted = int(manager.convert_probabilities_to_segmentation(chances)[0, 0])
        assert names[painted] == name
        index = classes.index(name) + 1
        ours = [target.paints for target in plan.targets if index in target.members][-1]
        assert ours == index


@pytest.mark.parametrize(
    ("about", "why"),
    [
        (dataset(a=[1, 2], b=2), "does not say in regions_class_order"),
        (dataset([1], a=[1, 2], b=2), "does not say in regions_class_order"),
        (dataset([2, 1], a=[1, 2], b=2), "'b' is painted as 'rest of a', which is not in it"),
        (dataset([2, 1], b=2, a=[1, 2]), "'b' would be predicted as 'rest of a'"),
        (dataset([1, 3], a=[1, 2], b=[2, 3]), "'rest of a_' would be predicted as 'rest of b'"),
        # Two unions that are painted as one class.
        (dataset([1, 1, 2, 3], a=[1, 2, 3], b=[1, 2], c=2, d=3), "'b' and 'a' are both painted"),
        (dataset(["1", 2], a=[1, 2], b=2), "would be predicted as 'background'"),
    ],
)
def test_unions_that_can_not_be_learned_are_refused(about: dict[str, Any], why: str) -> None:
    with pytest.raises(FileFormatError, match=why) as found:
        read_unions(about, class_names(about))
    assert "--union" in found.value.remedy


@pytest.mark.parametrize("value", [[0, 1], [1, "x"], [], [[1], 2], [300, 1], [True, 2], None])
def test_labels_that_are_none(value: Any) -> None:
    with pytest.raises(FileFormatError, match="'odd'"):
        class_names(dataset([1, 2], whole=[1, 2], odd=value))


def test_names_that_a_person_gives() -> None:
    names = {1: "cortex", 2: "tumor", 3: "cyst"}
    assert read_unions(KIDNEY, names) == SaidUnions(
        ("kidney=tumor+cyst+cortex", "masses=tumor+cyst")
    )
    # One left out: what is left of the masses is the tumour.
    assert read_unions(KIDNEY, {1: "cortex", 2: "tumor", 3: ""}) == SaidUnions(
        ("kidney=tumor+cortex",)
    )
    # Two made one.
    assert read_unions(KIDNEY, {1: "cortex", 2: "mass", 3: "mass"}) == SaidUnions(
        ("kidney=mass+cortex",)
    )
    assert read_unions(KIDNEY, {1: "other", 2: "tumor", 3: "other"}) == SaidUnions(
        ("kidney=tumor+other",)
    )
    # A class of the union's own name; and one with what parts the two in a setting.
    odd = read_unions(dataset([1, 2], **{"a=b": [1, 2], "core": 2}), {1: "a-b", 2: "x+y"})
    assert odd.unions == ("a-b_=x+y+a-b",)
    assert plan_of(odd, "a-b", "x+y").unions[0].rest == 1


def test_no_unions_at_all() -> None:
    others: list[dict[str, Any]] = [{"labels": []}, {}]
    for about in (dataset(a=1, b=2), dataset(a=[1], b=[2]), *others):
        assert read_unions(about, {1: "a", 2: "b"}) == SaidUnions()
    # One union whose classes nothing tells apart is a class.
    for alone in (dataset([1], whole=[1, 2]), dataset([1, 2], whole=[1, 2], same=[1, 2])):
        assert class_names(alone) == {1: "whole", 2: "whole"}
        assert read_unions(alone, class_names(alone)) == SaidUnions()


@pytest.mark.parametrize(
    ("classes", "unions", "order"),
    [
        (("lumen", "wall", "stone"), ("vessel=lumen+wall",), ()),
        (("lumen", "wall", "stone"), ("vessel=lumen+wall",), ("wall", "lumen", "stone")),
        # Words of nnU-Net's, as classes and as unions.
        (("ignore", "background"), ("ignore_=ignore+background",), ()),
        (("a", "b", "c"), ("ignore=a+b+c", "background=a+b"), ()),
        # One class within another union's parts, in another order of integers.
        (("ET", "ED", "NCR"), ("WT=ET+NCR+ED", "TC=ET+NCR"), ()),
    ],
)
def test_what_is_written_is_read_again(
    tmp_path: Path, classes: tuple[str, ...], unions: tuple[str, ...], order: tuple[str, ...]
) -> None:
    plan = union_plan(group(*classes), unions, order)
    labels, more = labels_with_unions(classes, plan)
    ignored = len(classes) + 1
    (tmp_path / "labelsTr").mkdir()
    text = json.dumps({"labels": {**labels, "ignore": ignored}, **more})
    (tmp_path / "dataset.json").write_text(text)
    said = classes_beside(tmp_path / "labelsTr")
    assert said.names == dict(enumerate(classes, start=1))
    assert said.ignored == {ignored}
    again = plan_of(unions_beside(tmp_path / "labelsTr", said.names), *classes)
    assert plan is not None
    assert [(t.members, t.paints) for t in again.targets] == [
        (t.members, t.paints) for t in plan.targets
    ]
    assert {u.rest: u.members for u in again.unions} == {u.rest: u.members for u in plan.unions}
    if order == () and "ignore" not in classes and "ignore=a+b+c" not in unions:
        assert {u.name for u in again.unions} == {u.name for u in plan.unions}
    manager = LabelManager({**labels, "ignore": ignored}, more["regions_class_order"])
    assert manager.has_regions and manager.ignore_label == ignored
    assert manager.num_segmentation_heads == len(classes)
    assert np.all(np.sort(manager.regions_class_order) == np.arange(1, len(classes) + 1))
