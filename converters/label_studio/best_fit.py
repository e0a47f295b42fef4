"""The rectangle, ellipse or disc that fits a polygon best, for labelling with such shapes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import shapely

from domain.geometry import Polygon, Ring

_CIRCLE_STEPS = 90


@dataclass(frozen=True, slots=True)
class Box:
    """A shape around a centre: rectangle or ellipse. All in pixels, ``degrees`` clockwise."""

    x: float
    y: float
    half_width: float
    half_height: float
    degrees: float

    @property
    def corner(self) -> tuple[float, float]:
        """The rectangle's top left corner before it is turned: Label Studio turns around it."""
        x, y = _turned(np.array([[-self.half_width, -self.half_height]]), self.degrees)[0]
        return self.x + float(x), self.y + float(y)


@dataclass(frozen=True, slots=True)
class BestFit:
    """A box and its overlap with the polygon: intersection over union of the areas, 0..1."""

    box: Box
    iou: float


def best_rectangle(polygon: Polygon) -> BestFit:
    """The best of: bounding box, smallest turned rectangle, rectangle with the same moments.

    The first of several equally good, so that a box stays upright where it can.
    """
    shape = shapely.Polygon(polygon.exterior, polygon.holes)
    left, top, right, bottom = shape.bounds
    upright = Box((left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2, 0)
    smallest = _box_of(shapely.get_coordinates(shapely.minimum_rotated_rectangle(shape))[:4])
    return _best(shape, (upright, smallest, _moments_box(polygon, math.sqrt(3))), _rectangle)


def best_ellipse(polygon: Polygon) -> BestFit:
    """The ellipse with the polygon's second moments, or the one within its bounding box."""
    shape = shapely.Polygon(polygon.exterior, polygon.holes)
    left, top, right, bottom = shape.bounds
    upright = Box((left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2, 0)
    return _best(shape, (_moments_box(polygon, 2.0), upright), _ellipse)


def best_disc(polygon: Polygon) -> BestFit:
    """The largest disc inside the polygon."""
    shape = shapely.Polygon(polygon.exterior, polygon.holes)
    (x, y), edge = shapely.get_coordinates(shapely.maximum_inscribed_circle(shape))
    radius = math.hypot(edge[0] - x, edge[1] - y)
    return _best(shape, (Box(float(x), float(y), radius, radius, 0.0),), _ellipse)


def _best(
    shape: shapely.Polygon, boxes: tuple[Box, ...], draw: Callable[[Box], shapely.Polygon]
) -> BestFit:
    fits = []
    for box in boxes:
        drawn = draw(box)
        union = shape.union(drawn).area
        fits.append(BestFit(box, shape.intersection(drawn).area / union if union > 0 else 0.0))
    return max(fits, key=lambda fit: round(fit.iou, 6))


def _rectangle(box: Box) -> shapely.Polygon:
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=np.float64)
    return _drawn(box, corners)


def _ellipse(box: Box) -> shapely.Polygon:
    angles = np.linspace(0, 2 * np.pi, _CIRCLE_STEPS, endpoint=False)
    return _drawn(box, np.stack([np.cos(angles), np.sin(angles)], axis=1))


def _drawn(box: Box, unit: Ring) -> shapely.Polygon:
    points = _turned(unit * [box.half_width, box.half_height], box.degrees)
    return shapely.Polygon(points + np.array([box.x, box.y]))


def _turned(points: Ring, degrees: float) -> Ring:
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    turned: Ring = points @ np.array([[cosine, sine], [-sine, cosine]])
    return turned


def _box_of(corners: Ring) -> Box:
    """The box with four corners in order, turned by less than 45 degrees where possible."""
    x, y = corners.mean(axis=0)
    first, second = corners[1] - corners[0], corners[2] - corners[1]
    degrees = math.degrees(math.atan2(first[1], first[0]))
    half_width, half_height = np.hypot(*first) / 2, np.hypot(*second) / 2
    return _upright(Box(float(x), float(y), float(half_width), float(half_height), degrees))


def _upright(box: Box) -> Box:
    quarters = round(box.degrees / 90)
    halves = (box.half_width, box.half_height)
    width, height = halves if quarters % 2 == 0 else halves[::-1]
    return Box(box.x, box.y, width, height, box.degrees - 90 * quarters)


def _moments_box(polygon: Polygon, radii: float) -> Box:
    """The box whose half sides are ``radii`` standard deviations of the area."""
    area, mean, covariance = _moments(polygon)
    if area <= 0:
        x, y = polygon.exterior.mean(axis=0)
        return Box(float(x), float(y), 0.0, 0.0, 0.0)
    variances, axes = np.linalg.eigh(covariance)
    half = radii * np.sqrt(np.maximum(variances[::-1], 0.0))
    degrees = math.degrees(math.atan2(axes[1, 1], axes[0, 1]))
    return _upright(Box(float(mean[0]), float(mean[1]), float(half[0]), float(half[1]), degrees))


def _moments(polygon: Polygon) -> tuple[float, Ring, Ring]:
    """Area, centre (2,) and covariance (2, 2) of a polygon's area, by Green's theorem."""
    origin = polygon.exterior.mean(axis=0)
    area, first, second = 0.0, np.zeros(2), np.zeros((2, 2))
    for ring, wanted in zip(polygon.rings, (1.0, *(-1.0 for _ in polygon.holes)), strict=True):
        a = ring - origin
        b = np.roll(a, -1, axis=0)
        cross = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
        sign = wanted * (1.0 if cross.sum() >= 0 else -1.0)
        area += sign * cross.sum() / 2
        first += sign * (cross[:, np.newaxis] * (a + b)).sum(axis=0) / 6
        outer = a[:, :, np.newaxis] * a[:, np.newaxis] + b[:, :, np.newaxis] * b[:, np.newaxis]
        both = (a + b)[:, :, np.newaxis] * (a + b)[:, np.newaxis]
        second += sign * (cross[:, np.newaxis, np.newaxis] * (outer + both)).sum(axis=0) / 24
    if area <= 0:
        return 0.0, origin, second
    mean = first / area
    return area, mean + origin, second / area - np.outer(mean, mean)
