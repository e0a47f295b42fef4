"""Rows as scripts and tables leave them: flags as text, ids as text, results that are missing."""

from __future__ import annotations

from typing import Any

import pytest

from converters.label_studio.config.inferred_config import infer_label_config
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.export_rows import tasks_from_export
from converters.label_studio.read import annotation_to_label_map
from domain.annotation import Task
from domain.errors import AnnotationError, LabelConfigError

POINTS = {"points": [[10, 10], [60, 10], [60, 60]], "polygonlabels": ["wall"]}
SIZED = {"original_width": 40, "original_height": 20}
MIN = {
    "id": 1,
    "annotator": 1,
    "annotation_id": 9,
    "created_at": "2026-01-01",
    "updated_at": "2026-01-01",
    "lead_time": 1.0,
}


def _task(annotation: dict[str, Any], task_id: Any = 1) -> Task:
    row = {"id": task_id, "data": {"image": "a.png"}, "annotations": [{"id": 5} | annotation]}
    (task,) = tasks_from_export([row])
    return task


def _n_px(row: dict[str, Any], xml: str = "") -> int:
    (task,) = tasks_from_export([row])
    config = parse_label_config(xml or infer_label_config([task]))
    label_map, _ = annotation_to_label_map(task.annotations[0], config, (20, 40))
    return int((label_map > 0).sum())


@pytest.mark.parametrize("flag", ["true", "True", " TRUE", "1", 1, 1.0, "yes"])
def test_a_skip_is_a_skip_however_it_is_written(flag: Any) -> None:
    assert _task({"result": [], "was_cancelled": flag}).annotations[0].was_cancelled
    assert _task({"result": [], "ground_truth": flag}).annotations[0].ground_truth


@pytest.mark.parametrize("flag", ["false", "False", "0", "", 0, None, [], {}, 2])
def test_what_is_no_skip(flag: Any) -> None:
    assert not _task({"result": [], "was_cancelled": flag}).annotations[0].was_cancelled


@pytest.mark.parametrize("annotation", [{"result": None}, {}])
def test_no_result_is_no_empty_one(annotation: dict[str, Any]) -> None:
    with pytest.raises(AnnotationError, match="no annotation with a result"):
        _task(annotation)


def test_a_skip_without_a_result_is_a_skip_and_another_annotation_counts() -> None:
    assert _task({"result": None, "was_cancelled": True}).annotations[0].was_cancelled
    row = {"id": 1, "data": {}, "annotations": [{"id": 1}, {"id": 2, "result": []}]}
    (task,) = tasks_from_export([row])
    assert [a.id for a in task.annotations] == [2]


@pytest.mark.parametrize(("written", "read"), [("12", 12), (12.0, 12), ("-3", -3), ("007", 7)])
def test_ids_as_tables_write_them(written: Any, read: int) -> None:
    assert _task({"result": []}, written).id == read


@pytest.mark.parametrize("written", ["abc", "", 1.5, "1.5", True, "9" * 30, 1e300, "\u0663"])
def test_what_is_no_id(written: Any) -> None:
    with pytest.raises(AnnotationError, match="no whole number"):
        _task({"result": []}, written)


def test_json_min_regions_without_the_size_they_were_drawn_on_count() -> None:
    alone = _n_px(MIN | {"image": "a.png", "label": [POINTS]})
    assert alone > 0
    assert _n_px(MIN | {"image": "a.png", "label": [POINTS | SIZED, POINTS]}) == alone


def test_what_json_min_says_of_a_region_does_not_part_it_from_its_label() -> None:
    place = {"points": POINTS["points"]} | SIZED
    row = MIN | {"image": "a.png", "poly": [place], "said": [place | {"selected": "left"}]}
    assert _n_px(row | {"label": [place | {"labels": ["wall"]}]}) > 0


@pytest.mark.parametrize("data", [{"pages": ["h/x?1", "h/x?2"]}, {"pages": ["a.png", "b.png"]}])
def test_json_min_of_pages_beside_another_image(data: dict[str, Any]) -> None:
    xml = """<View><Image name="image" valueList="$pages"/><PolygonLabels name="label"
    toName="image"><Label value="wall"/></PolygonLabels></View>"""
    row = MIN | {"thumb": "t.png", "label": [POINTS | SIZED]} | data
    with pytest.raises(AnnotationError, match="other pages"):
        _n_px(row, xml)
    assert _n_px(row, xml.replace('valueList="$pages"', 'value="$thumb"')) > 0


def test_regions_are_never_laid_on_a_guessed_image() -> None:
    row = MIN | {"left": "l.png", "right": "r.png", "la": [POINTS | SIZED], "lb": [POINTS | SIZED]}
    with pytest.raises(LabelConfigError, match="several images \\('left', 'right'\\)") as caught:
        _n_px(row)
    assert "--label-config" in caught.value.remedy
    tasks = list(tasks_from_export([row]))
    assert "$left" in infer_label_config(tasks, has_channels=True)


def test_an_image_object_called_as_its_field_is_that_field() -> None:
    entry = {"from_name": "b", "to_name": "right", "type": "polygonlabels", "value": POINTS}
    row = {"id": 1, "data": {"left": "l.png", "right": "r.png"}}
    tasks = tasks_from_export([row | {"annotations": [{"id": 1, "result": [entry]}]}])
    assert "$right" in infer_label_config(tasks)


def test_without_a_time_of_change_that_of_creation_counts() -> None:
    created = {"result": [], "created_at": "2026-01-02T00:00:00Z"}
    assert _task(created).annotations[0].updated_at == "2026-01-02T00:00:00Z"
    assert _task(created | {"updated_at": "2026-01-03"}).annotations[0].updated_at == "2026-01-03"


def test_a_region_of_json_min_that_is_none_does_not_empty_its_row() -> None:
    with pytest.raises(AnnotationError, match="has a region in 'label' that is no object"):
        _n_px(MIN | {"image": "a.png", "label": [POINTS | SIZED, None]})
