"""Annotations as Label Studio sends them, drawn on small images."""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.read import annotation_to_label_map
from converters.label_studio.regions.read_settings import ReadSettings
from domain.annotation import Annotation
from domain.labels import LabelConfig

LEFT_HALF = [[0, 0], [50, 0], [50, 100], [0, 100]]


def region(points: Any = LEFT_HALF, label: str = "lumen", **changes: Any) -> dict[str, Any]:
    value = {"points": points, "closed": True, "polygonlabels": [label]}
    return {
        "id": "r1",
        "from_name": "label",
        "to_name": "image",
        "type": "polygonlabels",
        "original_width": 8,
        "original_height": 4,
        "image_rotation": 0,
        "value": value,
        "origin": "manual",
    } | changes


def annotation(*result: Any, **changes: Any) -> Annotation:
    return Annotation(id=5, task_id=7, result=list(result), **changes)


def drawn_on(canvas: float, size_hw: tuple[int, int], shape: Callable[[Any], None]) -> Any:
    """(height, width) bool of a shape drawn by Pillow on a larger canvas, at 16 points a pixel."""
    height, width = size_hw
    side = round(16 * canvas)
    image = Image.new("1", (side * width, side * height))
    shape(ImageDraw.Draw(image))
    fine = np.array(image)
    start_y, start_x = (side - 16) // 2 * height, (side - 16) // 2 * width
    window = fine[start_y : start_y + 16 * height, start_x : start_x + 16 * width]
    return window.reshape(height, 16, width, 16).mean(axis=(1, 3))


def label_map_of(
    result: list[dict[str, Any]], config: LabelConfig, size_hw: tuple[int, int], **settings: Any
) -> tuple[Any, list[str]]:
    label_map, notes = annotation_to_label_map(
        annotation(*result), config, size_hw, settings=ReadSettings(**settings)
    )
    return label_map, [note.reason for note in notes]


LABELS_XML = """<View><Image name="image" value="$image"/>
<Labels name="label" toName="image"><Label value="lumen"/><Label value="wall"/></Labels>
<Polygon name="poly" toName="image"/><Rectangle name="box" toName="image"/>
<Choices name="sharp" toName="image" perRegion="true"><Choice value="yes"/></Choices></View>"""

LABELS_CONFIG = parse_label_config(LABELS_XML)


def pair(region_id: str, label: str | None, shape: dict[str, Any], kind: str) -> list[Any]:
    """What the editor submits in the spelling with <Labels>: every entry repeats the geometry."""
    entry = {"id": region_id, "to_name": "image", "original_width": 8, "original_height": 4}
    name = {"polygon": "poly", "rectangle": "box"}[kind]
    drawn = [entry | {"from_name": name, "type": kind, "value": shape}]
    if label is not None:
        value = shape | {"labels": [label]}
        drawn.append(entry | {"from_name": "label", "type": "labels", "value": value})
    return drawn


POLYGON = {"points": LEFT_HALF, "closed": True}

BOX = {"x": 50, "y": 0, "width": 50, "height": 50, "rotation": 0}

TWO_LABELS = parse_label_config(
    """<View><Image name="image" value="$image"/>
    <Labels name="organ" toName="image"><Label value="lesion"/><Label value="cyst"/></Labels>
    <Labels name="quality" toName="image"><Label value="sharp"/><Label value="blurry"/></Labels>
    <Polygon name="poly" toName="image"/><Rectangle name="box" toName="image"/></View>"""
)


def two_labels(*, with_shape: bool = True) -> list[dict[str, Any]]:
    shape, organ = pair("a", "cyst", POLYGON, "polygon")
    quality = organ | {"from_name": "quality", "value": POLYGON | {"labels": ["blurry"]}}
    organ = organ | {"from_name": "organ"}
    return [shape, organ, quality] if with_shape else [organ, quality]


TWO_POLYGONS = parse_label_config(
    """<View><Image name="image" value="$image"/>
    <PolygonLabels name="organ" toName="image"><Label value="lesion"/></PolygonLabels>
    <PolygonLabels name="quality" toName="image"><Label value="blurry"/></PolygonLabels></View>"""
)
