import pytest

from domain.labels import Control, LabelClass, LabelConfig, LabelGroup

CLASSES = (LabelClass(1, "lumen"), LabelClass(2, "wall"))
GROUP = LabelGroup("label", "image", "polygonlabels", CLASSES)


def test_classes_by_value_and_index() -> None:
    assert GROUP.class_by_value("wall") == LabelClass(2, "wall")
    assert GROUP.class_by_value("Wall") is None
    assert GROUP.class_by_index(1).value == "lumen"
    with pytest.raises(KeyError):
        GROUP.class_by_index(0)


def test_class_values_leave_background_out() -> None:
    assert LabelConfig(GROUP, "image", "<View/>").class_values == ("lumen", "wall")


def test_a_group_of_one_control_needs_not_name_it() -> None:
    assert GROUP.controls == (Control("label", "image", "polygonlabels"),)
    assert GROUP.control_by_name("label") is GROUP.controls[0]
    assert GROUP.control_by_name("brush") is None


def test_the_stored_name_goes_before_a_title() -> None:
    first, second = LabelClass(1, "a", alias="a", title="b"), LabelClass(2, "b")
    group = LabelGroup("label", "image", "polygonlabels", (first, second))
    assert group.class_by_value("b") is second
    assert first.names == ("a", "b")
