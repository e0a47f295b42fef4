"""What Label Studio and its annotators write: labelling interfaces, results, exports."""

from __future__ import annotations

import base64
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from converters.exports.file_source import ExportFile
from converters.label_studio.config.inferred_config import infer_label_config
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.corrections import changes_between, extent_of
from converters.label_studio.predicted import as_predicted, needs_predictions
from converters.label_studio.read import annotation_to_label_map
from converters.label_studio.region_types import REGION_TYPES
from converters.label_studio.relabel import in_present_names, label_names
from domain.annotation import Annotation, LeftOut
from domain.errors import NnloopError
from domain.labels import LabelConfig
from tests.fuzzing import scratch
from tests.fuzzing.target import Target, parsed, say

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "recorded"
SIZE_HW = (48, 64)
_RLE = (0, 0, 48, 0, 57, 27, 255, 1, 143, 0, 224, 99, 255, 252, 173, 60, 0)
"""A brush's run lengths at that size; the SDK that writes them takes seconds to load."""
PLAIN_XML = (
    '<View><Image name="image" value="$image"/><PolygonLabels name="label" toName="image">'
    '<Label value="lumen"/><Label value="wall" alias="w" background="#ff0000"/>'
    "</PolygonLabels></View>"
)


def _every_control() -> str:
    tags = [
        f'<{kind.labels_tag} name="{kind.kind}" toName="image"><Label value="lumen"/>'
        f'<Label value="wall"/></{kind.labels_tag}>'
        for kind in REGION_TYPES
    ]
    bare = '<Labels name="labels" toName="image"><Label value="lumen"/></Labels>'
    bare += '<Polygon name="bare" toName="image"/>'
    return f'<View><Image name="image" value="$image"/>{"".join(tags)}{bare}</View>'


@cache
def config() -> LabelConfig:
    """An interface with every control."""
    return parse_label_config(_every_control())


def _png() -> str:
    image = Image.new("RGBA", (SIZE_HW[1], SIZE_HW[0]))
    image.paste((255, 0, 0, 255), (4, 4, 20, 20))
    out = io.BytesIO()
    image.save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def _values() -> dict[str, dict[str, Any]]:
    vertices = [
        {"id": "a", "x": 10, "y": 10, "isBezier": True, "controlPoint2": {"x": 20, "y": 5}},
        {"id": "b", "prevPointId": "a", "x": 50, "y": 12, "isBezier": False},
        {"id": "c", "prevPointId": "b", "x": 30, "y": 70, "isBezier": False},
    ]
    return {
        "polygon": {"points": [[10, 10], [60, 12.5], [40, 80]], "closed": True},
        "rectangle": {"x": 10, "y": 10, "width": 30, "height": 20, "rotation": 15},
        "ellipse": {"x": 50, "y": 50, "radiusX": 20, "radiusY": 10, "rotation": 0},
        "keypoint": {"x": 50, "y": 50, "width": 4},
        "vector": {"vertices": vertices, "closed": True},
        "brush": {"format": "rle", "rle": list(_RLE)},
        "bitmask": {"imageDataURL": _png()},
    }


@cache
def results() -> dict[str, list[dict[str, Any]]]:
    """A small result of each kind of region."""
    values = _values()
    found = {}
    for kind in REGION_TYPES:
        key = kind.labels_key
        entry = {
            "id": f"id_{kind.kind}",
            "from_name": kind.kind,
            "to_name": "image",
            "type": key,
            "original_width": SIZE_HW[1],
            "original_height": SIZE_HW[0],
            "image_rotation": 0,
            "origin": "manual",
            "value": {**values[kind.kind], key: ["lumen"]},
        }
        found[kind.kind] = [entry]
    return found


def _result(data: bytes) -> None:
    result = parsed(data)
    if not isinstance(result, list):  # a task's reader has refused it before
        return
    annotation = Annotation(id=1, task_id=1, result=result)
    known = [entry for entry in result if isinstance(entry, dict)]
    try:
        _, notes = annotation_to_label_map(annotation, config(), SIZE_HW, predicted=known)
        say(notes)
    finally:
        needs_predictions(result)
        label_names(result, config().group)
        in_present_names(result, config().group)
        as_predicted(known)
        extent_of(known)
        changes_between(known, results()["polygon"])


def _export(data: bytes) -> None:
    with scratch.folder() as folder:
        path = scratch.written(folder / "export.json", data)
        found = list(ExportFile(path, choices=("quality",)))
        say(found)
        source = ExportFile(path)
        source.is_min()
        tasks = [entry.task for entry in found if not isinstance(entry, LeftOut)]
        try:
            parsed = parse_label_config(infer_label_config(tasks))
        except NnloopError:
            parsed = config()
        for task in tasks:
            for annotation in task.annotations:
                try:
                    annotation_to_label_map(annotation, parsed, SIZE_HW)
                except NnloopError as error:
                    error.in_full.encode()


def _of_golden(pattern: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(GOLDEN.glob(pattern))]


TARGETS = (
    Target(
        "label_config",
        lambda: [PLAIN_XML.encode(), _every_control().encode()],
        lambda data: parse_label_config(data.decode("utf-8", "surrogatepass")),
        allowed=(NnloopError, UnicodeDecodeError),
    ),
    *(
        Target(
            f"result_{kind.kind}",
            lambda kind=kind: [json.dumps(results()[kind.kind]).encode()],  # type: ignore[misc]
            _result,
            most_mib=700,
        )
        for kind in REGION_TYPES
    ),
    Target("export", lambda: _of_golden("exports/*JSON*.json"), _export, most_mib=700),
)
