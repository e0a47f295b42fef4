"""The simulated annotator: what it costs to turn a prediction into the truth, and to draw it.

They look at each predicted region. One that is close enough to an object stays; another one is
dragged to its place, or the wrong stretches of its outline are drawn anew, or all of it, whichever
takes least time; what belongs to no object goes, what is missing is drawn. Their clicks tremble.
What they submit is counted as a real person's annotation is (``changes_between``, ``Effort``).

Real people do worse: they hesitate, overlook, disagree, and zoom. And they do better where an
editor helps them. So the figures compare strategies with one another; they are no forecast in
hours.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from active_learning.effort import GOOD_ENOUGH, Effort, TimePerAction
from converters.label_studio.config.inferred_config import polygon_label_config
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.corrections import changes_between
from converters.label_studio.write import regions_to_result
from converters.outlines.vectorize import inner_last, vectorize
from domain.annotation import Region
from domain.geometry import LabelMap, Polygon, Ring
from domain.labels import LabelConfig

# What the simulated person is like. All of it is assumed, and the same for every strategy.

KEEP_IOU = GOOD_ENOUGH / (2.0 - GOOD_ENOUGH)
"""A predicted region with at least this overlap with its object stays as it is: Dice 0.95, about
what two people who draw the same object reach."""

DRAWN_IOU = 0.97
"""How closely a person follows a border: the fewest points with this overlap."""

CLOSE = 0.03
"""A point is right where it lies this near to the border, in square roots of the object's area;
never nearer than ``CLOSE_PX`` is asked for."""
CLOSE_PX = 1.0

JITTER_PX = 1.0
"""Standard deviation of a click along x and along y, in pixels; of small objects, at which people
zoom in, ``JITTER`` square roots of the area where that is less."""
JITTER = 0.02

SAME_OBJECT_IOU = 0.1
"""A predicted region with less overlap with an object is not of it."""
OTHER_CLASS_IOU = 0.5
"""Likewise where its class is another one, and has to be changed."""

SMALLEST_PX = 4
"""An object of fewer pixels is not drawn."""

TIMES = TimePerAction()
"""Seconds of each action: assumed (``active_learning.effort``)."""

# What the product pushes: the defaults of a project.
_PUSHED_IOU, _PUSHED_POINTS = 0.975, 200

_ID_LETTERS = list(string.ascii_letters + string.digits)


@dataclass(frozen=True, slots=True)
class Work:
    """What one image took.

    Attributes:
        corrected: The effort from the prediction to what was submitted; without a prediction, or
            where starting anew is quicker, that of drawing all of it.
        from_scratch: That of drawing all of it.
    """

    corrected: Effort
    from_scratch: Effort

    @property
    def seconds(self) -> float:
        """What correcting took, by ``TIMES``."""
        return TIMES.seconds(self.corrected)

    @property
    def scratch_s(self) -> float:
        """What drawing would have taken."""
        return TIMES.seconds(self.from_scratch)


@dataclass(frozen=True, slots=True, eq=False)
class _Outline:
    """A region as people draw it: around what lies in it, which is drawn on top."""

    class_index: int
    polygon: Polygon
    shape: Any  # shapely's geometry

    @property
    def size(self) -> float:
        """Square root of its area, in pixels."""
        return float(np.sqrt(max(self.shape.area, 1.0)))

    @property
    def n_points(self) -> int:
        return self.polygon.n_vertices


class Annotator:
    """Someone who knows the truth, and corrects predictions of one interface."""

    def __init__(self, class_values: Sequence[str]) -> None:
        """Takes the classes in integer order, background left out."""
        self._config: LabelConfig = parse_label_config(polygon_label_config(class_values))
        self._classes = range(1, len(class_values) + 1)

    def draw(self, truth: LabelMap) -> Work:
        """Labels an image that comes without a prediction.

        Args:
            truth: (height, width) uint8.
        """
        effort = _drawing(self._truth(truth))
        return Work(effort, effort)

    def correct(
        self, mean: npt.NDArray[np.float32], truth: LabelMap, rng: np.random.Generator
    ) -> Work:
        """Labels an image that comes with a prediction.

        Args:
            mean: (class, height, width) float32 probabilities in [0, 1], background first: what the
                product makes polygons of.
            truth: (height, width) uint8.
            rng: Makes clicks tremble.
        """
        objects = self._truth(truth)
        from_scratch = _drawing(objects)
        regions = vectorize(
            mean,
            self._classes,
            iou_target=_PUSHED_IOU,
            iou_floor=min(_PUSHED_IOU, 0.97),
            vertex_budget=_PUSHED_POINTS,
        )
        predicted = _outlines(regions)
        size_hw = (truth.shape[0], truth.shape[1])
        pushed, ids = self._pushed(predicted, size_hw)
        submitted: list[dict[str, Any]] = []
        left = set(range(len(predicted)))
        for one, position in _matched(objects, predicted):
            entry = None
            if position is not None:
                left.discard(position)
                entry = self._mended(pushed[ids[position]], predicted[position], one, rng)
            submitted.append(entry or self._drawn(one, size_hw, rng))
        corrected = Effort.of(changes_between(list(pushed.values()), submitted))
        # All of it goes with one key.
        anew = from_scratch + Effort(n_removed=1)
        return Work(min(corrected, anew, key=TIMES.seconds), from_scratch)

    def _truth(self, truth: LabelMap) -> list[_Outline]:
        regions = vectorize(
            truth,
            self._classes,
            tolerance_px=max(truth.shape) / 2,
            iou_target=DRAWN_IOU,
            iou_floor=DRAWN_IOU,
            min_area_px=SMALLEST_PX,
        )
        return _outlines(regions)

    def _pushed(
        self, outlines: Sequence[_Outline], size_hw: tuple[int, int]
    ) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """Entries as Label Studio gets them, by id; and the ids in the order of the outlines."""
        entries: dict[str, dict[str, Any]] = {}
        ids = []
        for number, one in enumerate(outlines):
            [entry] = self._entries(one, one.polygon, size_hw)
            # Alike twice in an image they would have one id.
            entry = {**entry, "id": f"{entry['id']}{number}"}
            entries[entry["id"]] = entry
            ids.append(entry["id"])
        return entries, ids

    def _mended(
        self,
        pushed: dict[str, Any],
        predicted: _Outline,
        one: _Outline,
        rng: np.random.Generator,
    ) -> dict[str, Any] | None:
        """The entry of a predicted region as submitted; None where drawing anew is quicker."""
        size_hw = (pushed["original_height"], pushed["original_width"])
        best, best_s = (
            None,
            TIMES.seconds(Effort(n_removed=1, n_drawn=1, points_drawn=one.n_points)),
        )
        for polygon in _mendings(predicted, one, rng):
            [entry] = self._entries(one, polygon, size_hw)
            entry["id"] = pushed["id"]
            seconds = TIMES.seconds(Effort.of(changes_between([pushed], [entry])))
            if seconds < best_s:
                best, best_s = entry, seconds
        return best

    def _drawn(
        self, one: _Outline, size_hw: tuple[int, int], rng: np.random.Generator
    ) -> dict[str, Any]:
        rings = [_trembled(ring, one.size, rng) for ring in one.polygon.rings]
        [entry] = self._entries(one, Polygon(rings[0], tuple(rings[1:])), size_hw)
        entry["id"] = "".join(rng.choice(_ID_LETTERS, size=10))
        return entry

    def _entries(
        self, one: _Outline, polygon: Polygon, size_hw: tuple[int, int]
    ) -> list[dict[str, Any]]:
        region = Region("", one.class_index, (polygon,))
        return regions_to_result([region], self._config, size_hw, is_prediction=False)


def _drawing(objects: Sequence[_Outline]) -> Effort:
    return Effort(n_drawn=len(objects), points_drawn=sum(one.n_points for one in objects))


def _outlines(regions: Sequence[Region]) -> list[_Outline]:
    """Outer ones first; holes that other regions fill are none, as people draw."""
    shapes = [(region, _shape(region.polygons[0])) for region in inner_last(regions)]
    tree = shapely.STRtree([shape for _, shape in shapes])
    found = []
    for region, shape in shapes:
        polygon = region.polygons[0]
        holes = tuple(h for h in polygon.holes if not _is_filled(h, tree))
        if len(holes) < len(polygon.holes):
            polygon = Polygon(polygon.exterior, holes)
            shape = _shape(polygon)
        if not shape.is_empty:
            found.append(_Outline(region.class_index, polygon, shape))
    return found


def _is_filled(hole: Ring, tree: Any) -> bool:
    """Whether regions cover most of a hole."""
    inside = _shape(Polygon(hole))
    others = tree.geometries[tree.query(inside)]
    return bool(sum(inside.intersection(other).area for other in others) > inside.area / 2)


def _shape(polygon: Polygon) -> Any:
    """A valid geometry of shapely; empty where there is no area."""
    if len(polygon.exterior) < 3:
        return shapely.Polygon()
    holes = [hole for hole in polygon.holes if len(hole) >= 3]
    return shapely.make_valid(shapely.Polygon(polygon.exterior, holes)).buffer(0)


def _iou(first: Any, second: Any) -> float:
    shared = float(first.intersection(second).area)
    union = float(first.area + second.area) - shared
    return shared / union if union > 0 else 0.0


def _matched(
    objects: Sequence[_Outline], predicted: Sequence[_Outline]
) -> Iterator[tuple[_Outline, int | None]]:
    """Each object with the predicted region that is best of it, each of these once.

    The greatest overlap first, and the same class before others.
    """
    pairs: list[tuple[bool, float, int, int]] = []
    if predicted:
        tree = shapely.STRtree([one.shape for one in predicted])
        for number, one in enumerate(objects):
            for position in tree.query(one.shape).tolist():
                other = predicted[position]
                is_other = other.class_index != one.class_index
                iou = _iou(one.shape, other.shape)
                if iou >= (OTHER_CLASS_IOU if is_other else SAME_OBJECT_IOU):
                    pairs.append((is_other, -iou, number, position))
    found: dict[int, int] = {}
    taken: set[int] = set()
    for _, _, number, position in sorted(pairs):
        if number not in found and position not in taken:
            found[number] = position
            taken.add(position)
    for number, one in enumerate(objects):
        yield one, found.get(number)


def _mendings(predicted: _Outline, one: _Outline, rng: np.random.Generator) -> Iterator[Polygon]:
    """Ways to make a predicted region good enough; only as it is where that will do."""
    if _iou(predicted.shape, one.shape) >= KEEP_IOU:
        yield predicted.polygon
        return
    rings = predicted.polygon.rings
    centers = (one.shape.centroid, predicted.shape.centroid)
    way = np.array([centers[0].x - centers[1].x, centers[0].y - centers[1].y])
    way += rng.normal(0.0, _jitter(one.size), 2)
    dragged = Polygon(rings[0] + way, tuple(hole + way for hole in rings[1:]))
    if _iou(_shape(dragged), one.shape) >= KEEP_IOU:
        yield dragged
    ring = _mended_ring(rings[0], one, rng)
    if ring is not None:
        mended = Polygon(ring, predicted.polygon.holes)
        if _iou(_shape(mended), one.shape) >= KEEP_IOU:
            yield mended


def _mended_ring(ring: Ring, one: _Outline, rng: np.random.Generator) -> Ring | None:
    """An outline with its wrong stretches drawn along the object's border.

    Points that lie on the border stay. Between two of them the stretch stays where the border runs
    along it, else the border's own points come in its place.

    Returns:
        (n, 2) in pixels; None where fewer than two points are right.
    """
    border = shapely.LinearRing(_turned_as(one.polygon.exterior, ring))
    close = max(CLOSE_PX, CLOSE * one.size)
    corners = np.asarray(border.coords)[:-1]
    is_right = shapely.distance(border, shapely.points(ring)) <= close
    right = np.flatnonzero(is_right)
    if right.size < 2:
        return None
    length = border.length
    along = np.asarray(shapely.line_locate_point(border, shapely.points(ring[right])))
    of_corners = np.asarray(shapely.line_locate_point(border, shapely.points(corners)))
    # Of the corner at which the border begins both ends are nearest.
    of_corners[0] = 0.0
    points: list[Ring] = []
    for number, index in enumerate(right):
        following = right[(number + 1) % right.size]
        points.append(ring[index : index + 1])
        gap = (along[(number + 1) % right.size] - along[number]) % length
        if gap > length / 2 and right.size > 2:
            # The next one lies behind on the border: both stay, nothing is between them.
            gap -= length
        ahead = (of_corners - along[number]) % length
        between = np.flatnonzero((ahead > 0) & (ahead < gap)) if gap > 0 else np.empty(0, np.intp)
        between = between[np.argsort(ahead[between])]
        n_skipped = (following - index - 1) % len(ring)
        stretch = shapely.LineString([ring[index], ring[following]])
        is_along = not n_skipped and bool(
            (shapely.distance(stretch, shapely.points(corners[between])) <= close).all()
        )
        if not is_along:
            points.append(_trembled(corners[between], one.size, rng))
    return np.concatenate(points)


def _turned_as(ring: Ring, other: Ring) -> Ring:
    """A ring that goes round as another one does."""
    return ring if _area(ring) * _area(other) > 0 else ring[::-1]


def _area(ring: Ring) -> float:
    x, y = ring.T
    return float(0.5 * (x @ np.roll(y, -1) - y @ np.roll(x, -1)))


def _trembled(ring: Ring, size: float, rng: np.random.Generator) -> Ring:
    return ring + rng.normal(0.0, _jitter(size), ring.shape) if len(ring) else ring


def _jitter(size: float) -> float:
    """Standard deviation of a click in pixels, at an object of this size."""
    return min(JITTER_PX, JITTER * size)
