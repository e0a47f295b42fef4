"""What the editor makes of regions: drawn in a real Chromium, or pushed and submitted there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page

from backend.label_studio import LabelStudioClient, PushedPrediction
from tests.e2e.editor import Editor
from tests.record.images import config, control, entry, image, polygon, sideways_image
from tests.record.recording import Recording

Point = tuple[float, float]

SQUARE: tuple[Point, ...] = ((20, 20), (60, 20), (60, 60), (20, 60))
BOX: tuple[Point, ...] = ((20, 30), (50, 60))
ELLIPSE: tuple[Point, ...] = ((50, 50), (70, 80))
STROKE: tuple[Point, ...] = ((30, 30), (60, 50), (30, 60))
POINT: tuple[Point, ...] = ((50, 50),)

_ALPHA = """async url => {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = new OffscreenCanvas(image.width, image.height), context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const bytes = context.getImageData(0, 0, image.width, image.height).data;
  let count = 0;
  for (let i = 3; i < bytes.length; i += 4) count += bytes[i] >= 128;
  return count;
}"""


def _polygon(editor: Editor, points: tuple[Point, ...]) -> None:
    editor.click(*points, points[0])


def _clicks(editor: Editor, points: tuple[Point, ...]) -> None:
    editor.click(*points)


def _drag(editor: Editor, points: tuple[Point, ...]) -> None:
    editor.drag(*points)


def _turned(editor: Editor, points: tuple[Point, ...]) -> None:
    _polygon(editor.turn(), points)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A region drawn by hand: the control, what the hand does, and where in percent."""

    tag: str
    hand: Callable[[Editor, tuple[Point, ...]], None]
    points: tuple[Point, ...]
    is_sideways: bool = False


DRAWINGS = {
    "polygon": Drawing("PolygonLabels", _polygon, SQUARE),
    "polygon_turned": Drawing("PolygonLabels", _turned, SQUARE[:3]),
    "polygon_sideways": Drawing("PolygonLabels", _polygon, SQUARE[:3], is_sideways=True),
    "rectangle": Drawing("RectangleLabels", _drag, BOX),
    "ellipse": Drawing("EllipseLabels", _drag, ELLIPSE),
    "keypoint": Drawing("KeyPointLabels", _clicks, POINT),
    "brush": Drawing("BrushLabels", _drag, STROKE),
    "bitmask": Drawing("BitmaskLabels", _drag, STROKE),
    "vector": Drawing("VectorLabels", _clicks, SQUARE),
}

_CORNERS = [list(point) for point in SQUARE]
_HOLE = [[30.0, 30.0], [30.0, 50.0], [50.0, 50.0], [50.0, 30.0]]
_CURVES = [
    # A circle of radius 25 % in four Bezier curves, in percent of each side.
    ("v1", 50, 25, (36.2, 25), (63.8, 25)),
    ("v2", 75, 50, (75, 36.2), (75, 63.8)),
    ("v3", 50, 75, (63.8, 75), (36.2, 75)),
    ("v4", 25, 50, (25, 63.8), (25, 36.2)),
]


def _curved() -> dict[str, Any]:
    vertices: list[dict[str, Any]] = []
    for name, x, y, before, after in _CURVES:
        controls = {
            "controlPoint1": dict(zip("xy", before, strict=True)),
            "controlPoint2": dict(zip("xy", after, strict=True)),
        }
        previous = {"prevPointId": vertices[-1]["id"]} if vertices else {}
        vertices.append({"x": x, "y": y, "id": name, "isBezier": True, **controls, **previous})
    return entry("vectorlabels", {"vertices": vertices, "closed": True, "vectorlabels": ["Lesion"]})


def _shape(kind: str, **value: float) -> dict[str, Any]:
    return entry(kind, {**value, kind: ["Lesion"]})


# What is pushed as a prediction and submitted by a person who changes nothing.
SUBMITTED = {
    "keyhole": ("PolygonLabels", polygon([*_CORNERS, _CORNERS[0], *_HOLE, _HOLE[0]], "Lesion")),
    "rectangle_rotated": (
        "RectangleLabels",
        _shape("rectanglelabels", x=40, y=20, width=30, height=40, rotation=30),
    ),
    "ellipse_rotated": (
        "EllipseLabels",
        _shape("ellipselabels", x=50, y=50, radiusX=30, radiusY=10, rotation=60),
    ),
    "vector_curved": ("VectorLabels", _curved()),
}


def record_drawings(recording: Recording, client: LabelStudioClient, page: Page) -> None:
    """A project with one task for each region; the annotation as Label Studio stores it."""
    for name, drawing in DRAWINGS.items():
        xml = _config(drawing.tag)
        picture = sideways_image() if drawing.is_sideways else image(0)
        project_id, task_id = _task(client, name, xml, picture)
        editor = Editor.open(page, project_id, task_id, 0)
        editor.choose_label()
        drawing.hand(editor, drawing.points)
        _record(recording, client, editor, f"drawn_{name}", xml, task_id, drawing.points)
    for name, (tag, region) in SUBMITTED.items():
        xml = _config(tag)
        project_id, task_id = _task(client, name, xml, image(0))
        client.import_predictions(project_id, [PushedPrediction(task_id, [region], 0.5, "v1")])
        client.update_project(project_id, model_version="v1")
        editor = Editor.open(page, project_id, task_id, 1)
        _record(recording, client, editor, f"submitted_{name}", xml, task_id, (), region)


def _config(tag: str) -> str:
    attributes = ' closable="true" curves="true"' if tag == "VectorLabels" else ""
    return config(control(tag, "Lesion", attributes=attributes), attributes=' rotateControl="true"')


def _task(
    client: LabelStudioClient, title: str, xml: str, picture: tuple[str, bytes]
) -> tuple[int, int]:
    project_id = client.create_project(title, xml).id
    [task_id] = client.import_images(project_id, [picture])
    return project_id, task_id


def _record(
    recording: Recording,
    client: LabelStudioClient,
    editor: Editor,
    name: str,
    xml: str,
    task_id: int,
    points: tuple[Point, ...],
    pushed: dict[str, Any] | None = None,
) -> None:
    editor.submit()
    [annotation] = client.task(task_id).annotations
    body: dict[str, Any] = {"label_config": xml}
    if points:
        body["hand"] = [list(point) for point in points]
    if pushed:
        body["pushed"] = pushed
    for region in annotation.result:
        if "imageDataURL" in region["value"]:
            body["browser_pixels"] = editor.page.evaluate(_ALPHA, region["value"]["imageDataURL"])
    recording.add(f"regions/{name}", {**body, "result": annotation.result})
