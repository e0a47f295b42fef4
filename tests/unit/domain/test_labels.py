import pytest

from domain.labels import LabelClass, LabelConfig, LabelGroup

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
