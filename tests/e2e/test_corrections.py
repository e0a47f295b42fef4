"""What a person drags in the editor is what the network learns."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from playwright.sync_api import Page

from backend.label_studio import LabelStudioClient, ProjectInfo, PushedPrediction
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.read import annotation_to_label_map
from converters.label_studio.write import regions_to_result
from converters.outlines.vectorize import inner_last
from domain.annotation import Region
from domain.geometry import Polygon, Ring
from tests.e2e.editor import Editor

WIDTH, HEIGHT = 320, 240
XML = """<View><Image name="image" value="$image"/>
<PolygonLabels name="label" toName="image"><Label value="lumen" background="#ff0000"/>
<Label value="wall" background="#0000ff"/><Label value="vein" background="#00aa00"/>
</PolygonLabels></View>"""
LUMEN, WALL, VEIN = 1, 2, 3


def octagon(x: float, y: float, radius: float) -> Ring:
    angles = np.arange(8) * np.pi / 4 + 0.1
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)


# A lumen in its wall, and a vein that touches the wall. Their hulls put the vein after the wall.
INNER, OUTER = octagon(110.3, 120.2, 30.0), octagon(110.3, 120.2, 62.0)
SIDE = np.array([[176.1, 90.3], [240.2, 85.7], [238.4, 160.6], [175.3, 150.1]])
REGIONS = inner_last(
    [
        Region("", LUMEN, (Polygon(INNER),)),
        Region("", WALL, (Polygon(OUTER, (INNER[::-1],)),)),
        Region("", VEIN, (Polygon(SIDE),)),
    ]
)

# Class: (a point inside it, the vertex to drag, where to), in pixels.
DRAGS = {
    LUMEN: ((110.0, 120.0), tuple(INNER[5]), (108.0, 68.0)),  # into the wall
    WALL: ((66.0, 122.0), tuple(OUTER[0]), (215.0, 128.0)),  # over the vein
    VEIN: ((215.0, 105.0), tuple(SIDE[1]), (290.0, 40.0)),  # into the background
}


@pytest.fixture
def project(client: LabelStudioClient) -> Iterator[ProjectInfo]:
    made = client.create_project("Corrections", XML)
    yield made
    client.delete_project(made.id)


def percent(point: tuple[float, float]) -> tuple[float, float]:
    return point[0] / WIDTH * 100, point[1] / HEIGHT * 100


def inside(entry: dict[str, Any]) -> npt.NDArray[np.bool_]:
    """Pixels whose centres lie in the ring, even-odd: each edge counted by hand."""
    ring = np.array(entry["value"]["points"]) * (WIDTH / 100, HEIGHT / 100)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    found = np.zeros((HEIGHT, WIDTH), dtype=np.bool_)
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if y0 != y1:
            found ^= ((y0 <= y) != (y1 <= y)) & (x > x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    return found


def class_of(entry: dict[str, Any]) -> int:
    return ["lumen", "wall", "vein"].index(entry["value"]["polygonlabels"][0]) + 1


@pytest.mark.parametrize("dragged", [(WALL,), (LUMEN, VEIN), (LUMEN, WALL, VEIN)])
def test_the_dragged_regions_have_exactly_the_area_that_was_dragged(
    client: LabelStudioClient, project: ProjectInfo, page: Page, dragged: tuple[int, ...]
) -> None:
    config = parse_label_config(XML)
    grey = io.BytesIO()
    Image.new("L", (WIDTH, HEIGHT), 128).save(grey, "PNG")
    (task_id,) = client.import_images(project.id, [("grey.png", grey.getvalue())])
    pushed = regions_to_result(REGIONS, config, (HEIGHT, WIDTH), score=0.9)
    assert [class_of(entry) for entry in pushed] == [WALL, VEIN, LUMEN]
    client.import_predictions(project.id, [PushedPrediction(task_id, pushed, 0.9, "v1")])

    editor = Editor.open(page, project.id, task_id, len(pushed))
    for class_index in dragged:
        editor.drag_vertex(*(percent(point) for point in DRAGS[class_index]))
    editor.submit()

    (annotation,) = client.task(task_id).annotations
    result = annotation.result
    assert [entry["id"] for entry in result] == [entry["id"] for entry in pushed]
    changed = {
        class_of(now)
        for now, before in zip(result, pushed, strict=True)
        if now["value"] != before["value"]
    }
    assert changed == set(dragged)
    expected = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    for entry in sorted(result, key=lambda entry: class_of(entry) in dragged):
        expected[inside(entry)] = class_of(entry)
    found, notes = annotation_to_label_map(annotation, config, (HEIGHT, WIDTH))
    np.testing.assert_array_equal(found, expected)
    assert notes == ()
    for entry, before in zip(result, pushed, strict=True):
        if class_of(entry) in dragged:
            # It has grown, and nothing of what was not dragged lies over it.
            area = inside(entry)
            assert area.sum() > inside(before).sum() + 200
            assert set(np.unique(found[area])) <= {*dragged}
