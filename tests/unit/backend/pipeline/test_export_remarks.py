"""What the report of an exported file says about the whole of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backend.pipeline.files.export import ExportRequest, export_file
from converters.exports.formats import format_by_name
from converters.exports.options import ExportOptions

SHAPE: dict[str, Any] = {
    "points": [[10, 10], [60, 10], [60, 80]],
    "closed": True,
    "polygonlabels": ["lumen"],
}
SIZE: dict[str, Any] = {"original_width": 40, "original_height": 30}
MIN = {
    "id": 1,
    "image": "a.png",
    "label": [SHAPE | SIZE],
    "annotator": 1,
    "annotation_id": 3,
    "created_at": "",
    "updated_at": "",
    "lead_time": 1.0,
}
ENTRY = {"id": "a", "from_name": "label", "to_name": "image", "type": "polygonlabels", **SIZE}
FULL = {
    "id": 1,
    "data": {"image": "a.png"},
    "annotations": [{"id": 3, "result": [ENTRY | {"value": SHAPE}]}],
}


@pytest.mark.parametrize(("row", "says_so"), [(MIN, True), (FULL, False)])
def test_json_min_does_not_tell_what_was_changed_and_the_report_says_so_once(
    tmp_path: Path, row: dict[str, Any], says_so: bool
) -> None:
    path = tmp_path / "export.json"
    path.write_text(json.dumps([row, row | {"id": 2}]))
    request = ExportRequest(format_by_name("csv"), tmp_path / "out", ExportOptions())
    report = export_file(path, request)
    assert report.done == 2
    assert sum("JSON_MIN" in remark for remark in report.remarks) == int(says_so)
