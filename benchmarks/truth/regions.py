"""Regions as people draw them in Label Studio: its JSON, of every kind the session uses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.truth.brush import encode
from benchmarks.truth.drawing import polygon
from benchmarks.truth.scenes import HEIGHT, SIZE_HW, WIDTH, Ring

Region = dict[str, Any]

STYLES = (
    "polygons",
    "keyhole",
    "nested",
    "rectangle_ellipse",
    "brush",
    "labels_polygon",
    "beyond",
)
_SIZE = np.array([WIDTH, HEIGHT])


def label_config(names: Sequence[str]) -> str:
    """An interface with every control the session draws with, all of them with these labels."""
    labels = "".join(f'<Label value="{name}"/>' for name in names)
    return (
        '<View><Image name="image" value="$image"/>'
        f'<PolygonLabels name="label" toName="image">{labels}</PolygonLabels>'
        f'<RectangleLabels name="box" toName="image">{labels}</RectangleLabels>'
        f'<EllipseLabels name="oval" toName="image">{labels}</EllipseLabels>'
        f'<BrushLabels name="brush" toName="image">{labels}</BrushLabels>'
        f'<Labels name="tags" toName="image">{labels}</Labels>'
        '<Polygon name="plain" toName="image"/></View>'
    )


def drawn(
    style: str, rings: tuple[Ring, Ring], names: tuple[str, str], rng: np.random.Generator
) -> list[Region]:
    """What somebody draws of a scene.

    Args:
        style: one of ``STYLES``.
        rings: outlines to draw after, of the disc and of the square, in pixels.
        names: the labels to give them.
        rng: moves and turns them.
    """
    disc, square = (ring + rng.uniform(-3, 3, 2) for ring in rings)
    centre, middle = disc.mean(axis=0), square.mean(axis=0)
    if style == "keyhole":
        hole = centre + 0.5 * (disc - centre)
        return [as_polygon(names[1], square, rng), as_polygon(names[0], keyhole(disc, hole), rng)]
    if style == "nested":
        around = centre + 1.6 * (disc - centre)
        pair = [as_polygon(names[1], around, rng), as_polygon(names[0], disc, rng)]
        return pair if rng.random() < 0.5 else pair[::-1]
    if style == "rectangle_ellipse":
        return [_rectangle(names[1], middle, rng), _ellipse(names[0], centre, rng)]
    if style == "brush":
        return [as_polygon(names[1], square, rng), _brush(names[0], disc, rng)]
    if style == "labels_polygon":
        return [*_labels_polygon(names[0], disc, rng), as_polygon(names[1], square, rng)]
    if style == "beyond":
        corner = np.array([rng.choice([0, WIDTH]), rng.choice([0, HEIGHT])])
        return [
            as_polygon(names[0], disc, rng),
            as_polygon(names[1], corner + 1.7 * (disc - centre), rng),
        ]
    pair = [as_polygon(names[0], disc, rng), as_polygon(names[1], square, rng)]
    return pair if rng.random() < 0.5 else pair[::-1]


def keyhole(outer: Ring, inner: Ring) -> Ring:
    """One ring with a hole: out along the first point, back along it, the hole wound backwards."""
    return np.concatenate([outer, outer[:1], inner[:1], inner[:0:-1], inner[:1]])


def as_polygon(name: str, ring: Ring, rng: np.random.Generator, origin: str = "manual") -> Region:
    """A polygon."""
    points = (ring / _SIZE * 100).tolist()
    return _region("label", "polygonlabels", {"points": points, "closed": True}, name, rng, origin)


CHANGED = {"text": ["changed by hand"]}
"""``meta`` of a predicted region that the session's person changed."""


def corrected(result: Sequence[Region], rng: np.random.Generator) -> list[Region]:
    """A prediction after a person's hand: one polygon enlarged by a quarter, the others left.

    One of the two largest: a small one is hardly ever worth a correction.
    """
    polygons = [i for i, entry in enumerate(result) if entry["type"] == "polygonlabels"]
    polygons.sort(key=lambda i: -float(np.prod(np.ptp(result[i]["value"]["points"], axis=0))))
    chosen = int(rng.choice(polygons[:2])) if polygons else -1
    changed = []
    for i, entry in enumerate(result):
        if i == chosen:
            points = np.array(entry["value"]["points"])
            middle = points.mean(axis=0)
            # An odd factor: no corner comes to lie on the centre of a pixel.
            points = middle + 1.2503 * (points - middle)
            value = {**entry["value"], "points": points.tolist()}
            # Label Studio's editor leaves the origin of a polygon as it is, whatever is done to
            # its points; so what the person did is noted for the reader where nnloop looks at
            # nothing.
            changed.append({**entry, "value": value, "origin": "prediction", "meta": CHANGED})
        else:
            changed.append({**entry, "origin": "prediction"})
    return changed


def _region(
    from_name: str,
    kind: str,
    value: dict[str, Any],
    name: str,
    rng: np.random.Generator,
    origin: str = "manual",
) -> Region:
    return {
        "id": f"r{int(rng.integers(1 << 48)):012x}",
        "from_name": from_name,
        "to_name": "image",
        "type": kind,
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "origin": origin,
        "value": {**value, kind: [name]} if name else value,
    }


def _rectangle(name: str, middle: npt.NDArray[np.float64], rng: np.random.Generator) -> Region:
    sides = rng.uniform(14, 26, 2)
    turn = float(rng.choice([0.0, rng.uniform(-60, 60)]))
    # The corner that turns about itself, so that the middle stays.
    angle = np.deg2rad(turn)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    x, y = (middle - rotation @ (sides / 2)) / _SIZE * 100
    width, height = sides / _SIZE * 100
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": turn}
    return _region("box", "rectanglelabels", value, name, rng)


def _ellipse(name: str, centre: npt.NDArray[np.float64], rng: np.random.Generator) -> Region:
    (x, y), (rx, ry) = centre / _SIZE * 100, rng.uniform(7, 15, 2) / _SIZE * 100
    value = {"x": x, "y": y, "radiusX": rx, "radiusY": ry, "rotation": float(rng.uniform(0, 90))}
    return _region("oval", "ellipselabels", value, name, rng)


def _brush(name: str, ring: Ring, rng: np.random.Generator) -> Region:
    mask = polygon([(x, y) for x, y in ring], SIZE_HW).inside
    return _region("brush", "brushlabels", {"format": "rle", "rle": encode(mask)}, name, rng)


def _labels_polygon(name: str, ring: Ring, rng: np.random.Generator) -> list[Region]:
    value = {"points": (ring / _SIZE * 100).tolist(), "closed": True}
    shape = _region("plain", "polygon", value, "", rng)
    label = {
        **shape,
        "from_name": "tags",
        "type": "labels",
        "value": {**value, "labels": [name]},
    }
    return [shape, label]
