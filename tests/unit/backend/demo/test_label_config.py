from __future__ import annotations

from backend.demo.label_config import LABEL_CONFIG
from backend.demo.vessel import LUMEN, WALL
from converters.label_studio.config.label_config import parse_label_config


def test_classes_have_the_integers_of_the_truth() -> None:
    config = parse_label_config(LABEL_CONFIG)
    assert config.group.class_by_index(LUMEN).value == "lumen"
    assert config.group.class_by_index(WALL).value == "wall"
    assert config.class_values == ("lumen", "wall")
    assert (config.group.from_name, config.group.to_name) == ("label", "image")
    assert config.image_key == "image"


def test_colors_differ() -> None:
    colors = [c.color for c in parse_label_config(LABEL_CONFIG).group.classes]
    assert all(colors) and len(set(colors)) == len(colors)
