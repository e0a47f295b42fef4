"""Files that Label Studio itself exports, read without it: names, pages, labels beside shapes."""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from backend.label_studio import LabelStudioClient, ProjectInfo
from backend.pipeline.files.export import ExportRequest, export_file
from converters.bookkeeping.files_report import FilesReport
from converters.exports.formats import format_by_name
from converters.exports.options import ExportOptions
from converters.label_studio.config.inferred_config import polygon_label_config

SIZE_HW = (30, 40)
FRAME = {"original_width": 40, "original_height": 30, "image_rotation": 0, "to_name": "image"}
SQUARE = {"points": [[10, 10], [60, 10], [60, 60], [10, 60]], "closed": True}
CORNER = {"points": [[70, 70], [90, 70], [90, 90], [70, 90]], "closed": True}
NAMES = [
    "my scan (left) 1.png",
    "größe é.png",
    unicodedata.normalize("NFD", "ärzte ô.png"),
    "a#1.png",
    "50%.png",
    "a+b & c.png",
    "plain.png",
    "漢字 図.png",
    "a name that goes on " * 8 + ".png",
]

Make = Callable[[str], ProjectInfo]


@pytest.fixture
def make(client: LabelStudioClient) -> Iterator[Make]:
    made: list[ProjectInfo] = []

    def one(config: str) -> ProjectInfo:
        made.append(client.create_project("Exports", config))
        return made[-1]

    yield one
    for project in made:
        client.delete_project(project.id)


def _exported(client: LabelStudioClient, project: ProjectInfo, kind: str, folder: Path) -> Path:
    rows = client._connection.json(
        "GET", f"/api/projects/{project.id}/export?exportType={kind}&download_all_tasks=true"
    )
    path = folder / f"{kind}.json"
    path.write_text(json.dumps(rows))
    return path


def _written(
    path: Path, name: str, images: Path | None = None, config: str = ""
) -> tuple[FilesReport, Path]:
    out = path.parent / f"{path.stem}-{name}-{bool(config)}"
    label_config = None
    if config:
        label_config = path.parent / "config.xml"
        label_config.write_text(config)
    request = ExportRequest(format_by_name(name), out, ExportOptions(), images, label_config)
    return export_file(path, request), out


def _pixels(path: Path) -> npt.NDArray[Any]:
    with Image.open(path) as image:
        return np.asarray(image)


def test_uploads_are_found_under_the_names_they_had(
    client: LabelStudioClient, make: Make, tmp_path: Path
) -> None:
    project = make(polygon_label_config(["cyst"]))
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    pictures = {}
    for name in NAMES:
        pictures[name] = rng.integers(0, 255, SIZE_HW, dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pictures[name]).save(buffer, "PNG")
        (folder / name).write_bytes(buffer.getvalue())
        # As a browser uploads it, not under the plain name that nnloop gives.
        answer = client._connection.json(
            "POST",
            f"/api/projects/{project.id}/import",
            params={"return_task_ids": "true"},
            files={"file": (name, buffer.getvalue(), "image/png")},
        )
        (task_id,) = answer["task_ids"]
        entry = FRAME | {"id": "r", "from_name": "label", "type": "polygonlabels"}
        client.annotate(task_id, [entry | {"value": SQUARE | {"polygonlabels": ["cyst"]}}])
    for kind in ("JSON", "JSON_MIN"):
        report, out = _written(_exported(client, project, kind, tmp_path), "nnunet", folder)
        assert report.left_out == {}
        files = sorted((out / "imagesTr").iterdir())
        assert len(files) == len(NAMES)
        for file, name in zip(files, NAMES, strict=True):
            np.testing.assert_array_equal(_pixels(file), pictures[name], err_msg=name)


def test_pages_come_out_as_the_first(client: LabelStudioClient, make: Make, tmp_path: Path) -> None:
    config = polygon_label_config(["cyst"]).replace('value="$image"', 'valueList="$pages"')
    assert "valueList" in config
    project = make(config)
    client._connection.json(
        "POST", f"/api/projects/{project.id}/import", body=[{"pages": ["/p0.png", "/p1.png"]}]
    )
    (task,) = client.iter_tasks(project.id)
    entry = FRAME | {"from_name": "label", "type": "polygonlabels"}
    client.annotate(
        task.id,
        [
            entry | {"id": f"r{i}", "item_index": i, "value": shape | {"polygonlabels": ["cyst"]}}
            for i, shape in enumerate((SQUARE, CORNER))
        ],
    )
    path = _exported(client, project, "JSON", tmp_path)
    for given in ("", config):
        report, out = _written(path, "masks-png", config=given)
        assert (report.done, report.left_out) == (1, {"other_page": 1})
        mask = _pixels(out / "masks" / "p0.png")
        assert mask[10, 10] == 1
        assert mask[24, 32] == 0
    # JSON_MIN does not say which page a region lies on.
    report, out = _written(_exported(client, project, "JSON_MIN", tmp_path), "masks-png")
    assert (report.done, report.left_out) == (0, {"other_page": 1})


TWO_LABELS = """<View><Image name="image" value="$image"/>
  <Labels name="organ" toName="image"><Label value="lesion"/><Label value="cyst"/></Labels>
  <Labels name="quality" toName="image"><Label value="sharp"/><Label value="blurry"/></Labels>
  <Polygon name="poly" toName="image"/><Rating name="rate" toName="image" perRegion="true"/></View>
"""


def test_labels_beside_shapes_read_the_same_from_every_export(
    client: LabelStudioClient, make: Make, tmp_path: Path
) -> None:
    project = make(TWO_LABELS)
    client._connection.json(
        "POST", f"/api/projects/{project.id}/import", body=[{"image": f"/{n}.png"} for n in "ab"]
    )
    entry = FRAME | {"id": "r"}
    shape = entry | {"from_name": "poly", "type": "polygon", "value": SQUARE}
    rate = entry | {"from_name": "rate", "type": "rating", "value": SQUARE | {"rating": 3}}
    organ, quality = (
        entry | {"from_name": name, "type": "labels", "value": SQUARE | {"labels": [label]}}
        for name, label in (("organ", "cyst"), ("quality", "blurry"))
    )
    first, second = client.iter_tasks(project.id)
    client.annotate(first.id, [shape, rate, quality, organ])
    client.annotate(second.id, [organ, shape, quality, rate])
    for kind in ("JSON", "JSON_MIN"):
        path = _exported(client, project, kind, tmp_path)
        report, out = _written(path, "masks-png", config=TWO_LABELS)
        assert (report.done, report.noted["extra_label"]) == (2, 2)
        masks = [_pixels(out / "masks" / f"{name}.png") for name in "ab"]
        assert set(np.unique(masks[0])) == {0, 2}
        np.testing.assert_array_equal(masks[0], masks[1])
        report, out = _written(path, "masks-png")
        inferred = [_pixels(out / "masks" / f"{name}.png") for name in "ab"]
        np.testing.assert_array_equal(inferred[0], inferred[1])
        np.testing.assert_array_equal(inferred[0] > 0, masks[0] > 0)
