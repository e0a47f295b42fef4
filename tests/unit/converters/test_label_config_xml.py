from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from converters.label_config import parse_label_config
from converters.label_config_xml import infer_label_config, polygon_label_config
from converters.tasks import tasks_from_export
from domain.annotation import Annotation, Task
from domain.errors import LabelConfigError

CAPTURES = Path(__file__).resolve().parents[4] / "shared" / "label-studio" / "captures"


def _task(*result: Any, **data: Any) -> Task:
    return Task(1, 0, data, (Annotation(1, 1, list(result)),))


def _region(kind: str, labels: list[str], name: str = "label", to: str = "img") -> dict[str, Any]:
    return {"type": kind, "from_name": name, "to_name": to, "value": {kind: labels}}


def test_classes_come_in_order_of_appearance_over_all_controls() -> None:
    first = _task(_region("polygonlabels", ["b"]), scan="/data/upload/1/00000000-a.png", note="x")
    second = _task(_region("brushlabels", ["a", "b"], "brush"), scan="/b.png")
    config = parse_label_config(infer_label_config([first, second]))
    assert config.class_values == ("b", "a")
    assert config.image_key == "scan"
    controls = [(c.name, c.region_type) for c in config.group.controls]
    assert controls == [("label", "polygonlabels"), ("brush", "brushlabels")]
    assert config.group.to_name == "img"


def test_the_spelling_with_labels() -> None:
    shape = {"type": "polygon", "from_name": "poly", "to_name": "image", "value": {"points": []}}
    config = parse_label_config(
        infer_label_config([_task(shape, _region("labels", ["x"], "l", "image"))])
    )
    assert config.class_values == ("x",)
    assert [(c.name, c.labels_name) for c in config.group.controls] == [("poly", "l")]


def test_strange_names_survive_or_are_left_out() -> None:
    names = ['a"<&>', "tab\there", "é", "nul\0", ""]
    config = parse_label_config(infer_label_config([_task(_region("polygonlabels", names))]))
    assert config.class_values == ('a"<&>', "tab\there", "é")
    assert parse_label_config(polygon_label_config(names[:3])).class_values == tuple(names[:3])


def test_nothing_to_infer_from() -> None:
    with pytest.raises(LabelConfigError, match="no labelled region"):
        infer_label_config([_task(_region("choices", ["x"]), 5, {"value": 3})])


@pytest.mark.parametrize("name", ["export_JSON.json", "export_JSON_MIN.json"])
def test_real_exports(name: str) -> None:
    path = CAPTURES / name
    if not path.exists():
        pytest.skip(f"no captures at {CAPTURES}")
    xml = infer_label_config(tasks_from_export(json.loads(path.read_text())))
    config = parse_label_config(xml)
    assert set(config.class_values) == {"Lesion", "Organ"}
    assert (config.group.from_name, config.image_key) == ("label", "image")
