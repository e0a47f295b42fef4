"""What nnU-Net makes of the labels of a data set whose unions are learned."""

from __future__ import annotations

import pytest
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from domain.labels import LabelClass, LabelGroup
from domain.unions import union_plan
from training.dataset_labels import ignored_integer, n_classes, painting_order, unions_of
from training.nnunet.data.plans import dataset_json

VALUES = ("edema", "background", "ignore")
GROUP = LabelGroup(
    "label",
    "image",
    "polygonlabels",
    tuple(LabelClass(i, v) for i, v in enumerate(VALUES, start=1)),
)


@pytest.mark.parametrize("has_ignore", [False, True])
def test_unions_are_nnunets_regions_whatever_the_classes_are_called(has_ignore: bool) -> None:
    plan = union_plan(GROUP, ["whole=ignore+background+edema", "core=ignore+background"])
    found = dataset_json(VALUES, 1, 5, has_ignore=has_ignore, unions=plan)
    manager = LabelManager(found["labels"], found["regions_class_order"])
    assert manager.has_regions
    assert manager.foreground_regions == [(1, 2, 3), (2, 3), (3,)]
    assert manager.num_segmentation_heads == 3
    assert manager.ignore_label == (4 if has_ignore else None)
    assert ignored_integer(found) == manager.ignore_label
    assert painting_order(found) == (1, 2, 3)
    assert n_classes(found) == 4
    assert unions_of(found) == (((1, 2, 3), 1), ((2, 3), 2), ((3,), 3))


@pytest.mark.parametrize("has_ignore", [False, True])
def test_without_unions_each_class_is_an_output(has_ignore: bool) -> None:
    found = dataset_json(VALUES, 1, 5, has_ignore=has_ignore)
    manager = LabelManager(found["labels"], None)
    assert not manager.has_regions
    assert manager.num_segmentation_heads == n_classes(found) == 4
    assert manager.ignore_label == ignored_integer(found) == (4 if has_ignore else None)
    assert painting_order(found) == ()
    assert unions_of(found) == ()
