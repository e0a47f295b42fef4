"""The corrector: what somebody who knows the truth makes of predicted regions in the editor.

They look at each predicted region. One that is close enough to an object stays; another one is
dragged to its place, or the wrong stretches of its outline are drawn anew, or all of it, whichever
takes least time; what belongs to no object goes, what is missing is drawn. Regions that are taken
over keep their ids, as in Label Studio's editor, so that what was done is counted as a real
person's work is (``changes_between``, ``Effort``).
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from active_learning.effort import Effort, TimePerAction
from active_learning.simulated.hand import is_near, mendings, trembled
from active_learning.simulated.outlines import Outline, dice_of, matched, outlines_of, shape_of
from converters.label_studio.corrections import changes_between
from converters.label_studio.keyhole import keyhole_ring, rings_of
from converters.label_studio.percent import percent_to_pixels, pixels_to_percent
from converters.label_studio.predicted import label_of
from converters.label_studio.write import regions_to_result
from domain.annotation import Region
from domain.geometry import Polygon, Ring
from domain.labels import LabelConfig

TIMES = TimePerAction()
"""Seconds of each action: assumed (``active_learning.effort``)."""

_ID_LETTERS = list(string.ascii_letters + string.digits)

Entry = dict[str, Any]
Shapes = npt.NDArray[Any]
"""(n,) of shapely's geometries."""
Draw = Callable[[Outline, np.random.Generator], Polygon]


@dataclass(frozen=True, slots=True, eq=False)
class Pushed:
    """A predicted region as somebody meets it in the editor.

    Attributes:
        entry: As Label Studio holds it.
        outline: What it looks like.
    """

    entry: Entry
    outline: Outline


def trembled_outline(one: Outline, rng: np.random.Generator) -> Polygon:
    """An object clicked point by point."""
    rings = [trembled(ring, one.size, rng) for ring in one.polygon.rings]
    return Polygon(rings[0], tuple(rings[1:]))


def effort_of_drawing(objects: Sequence[Outline]) -> Effort:
    """What it takes to draw them from nothing."""
    return Effort(n_drawn=len(objects), points_drawn=sum(one.n_points for one in objects))


class Corrector:
    """Corrects predictions of one interface, by polygons."""

    def __init__(
        self, config: LabelConfig, draw: Draw = trembled_outline, *, visible_dice: float = 0.0
    ) -> None:
        """Takes how people work.

        Args:
            config: The labelling configuration, with polygons for its classes.
            draw: Draws an object from nothing.
            visible_dice: In [0, 1], asked for of what is seen of a region beside those that lie on
                it: a thin wall may be wrong where its outline is nearly right.
        """
        self._config, self._draw, self._visible_dice = config, draw, visible_dice

    def pushed(self, regions: Sequence[Region], size_hw: tuple[int, int]) -> list[Pushed]:
        """Predicted regions as they would be pushed, holes that others fill left out.

        Args:
            regions: In pixels.
            size_hw: (height, width) of the image.
        """
        found = []
        for number, one in enumerate(outlines_of(regions)):
            entry = self.entry(one.class_index, one.polygon, size_hw)
            # Alike twice in an image they would have one id.
            bare = Outline(one.class_index, one.polygon, one.shape)
            found.append(Pushed({**entry, "id": f"{entry['id']}{number}"}, bare))
        return found

    def read(self, result: Sequence[Entry], size_hw: tuple[int, int]) -> list[Pushed]:
        """A pushed prediction as it stands in the editor.

        Args:
            result: Label Studio's JSON. What is no polygon, or of no class that there is, is left
                out: it goes.
            size_hw: (height, width) of the image.
        """
        entries, regions = {}, []
        for entry in result:
            points = (entry.get("value") or {}).get("points") or ()
            label = self._config.group.class_by_value(label_of(entry))
            if len(points) < 3 or label is None:
                continue
            exterior, holes = rings_of(percent_to_pixels(np.array(points, np.float64), size_hw))
            entries[entry["id"]] = entry
            regions.append(Region(entry["id"], label.index, (Polygon(exterior, holes),)))
        return [Pushed(entries[one.region_id], one) for one in outlines_of(regions)]

    def submitted(
        self,
        pushed: Sequence[Pushed],
        objects: Sequence[Outline],
        size_hw: tuple[int, int],
        rng: np.random.Generator,
        *,
        uncovers: bool = False,
    ) -> list[Entry]:
        """What comes of a prediction: an entry for each object, in their order.

        Args:
            pushed: What was predicted; () = nothing.
            objects: What there is, outer ones first, as this person would draw it.
            size_hw: (height, width) of the image.
            rng: Makes clicks tremble.
            uncovers: What a person draws lies over what stays as predicted. Whether what would
                vanish so is drawn once more.
        """
        entries: list[Entry] = []
        over: list[Any] = []
        for one, position in matched(objects, [each.outline for each in pushed]):
            before = None if position is None else pushed[position]
            entry = None if before is None else self._mended(before, one, objects, rng)
            is_left = before is not None and entry is not None and _is_same(before.entry, entry)
            if uncovers and is_left and before is not None and _is_hidden(before.outline, over):
                entry, is_left = None, False
            entry = entry or self._drawn(one, size_hw, rng)
            if not is_left:
                over.append(_shape_of_entry(entry, size_hw))
            entries.append(entry)
        return entries

    def entry(self, class_index: int, polygon: Polygon, size_hw: tuple[int, int]) -> Entry:
        """A polygon in Label Studio's JSON, as a person's."""
        region = Region("", class_index, (polygon,))
        [entry] = regions_to_result([region], self._config, size_hw, is_prediction=False)
        return entry

    def _mended(
        self, pushed: Pushed, one: Outline, objects: Sequence[Outline], rng: np.random.Generator
    ) -> Entry | None:
        """The entry of a predicted region as submitted; None where drawing anew is quicker."""
        best, best_s = (
            None,
            TIMES.seconds(Effort(n_removed=1, n_drawn=1, points_drawn=one.n_points)),
        )
        above = _drawn_over(one, objects)

        def is_good(shape: Any, of: Outline) -> bool:
            return is_near(shape, of) and self._is_seen_well(shape, of, above)

        for polygon in mendings(pushed.outline, one, rng, is_good):
            for entry in self._written(pushed, polygon, one, above):
                seconds = TIMES.seconds(Effort.of(changes_between([pushed.entry], [entry])))
                if seconds < best_s:
                    best, best_s = entry, seconds
        return best

    def _written(
        self, pushed: Pushed, polygon: Polygon, one: Outline, above: Shapes
    ) -> Iterator[Entry]:
        """The region with another outline: with the holes that others fill, where these will do.

        Without them it lies below what is drawn on top.
        """
        size_hw = (pushed.entry["original_height"], pushed.entry["original_width"])
        label = self.entry(one.class_index, polygon, size_hw)
        outline = pushed.outline
        filled = _moved(outline.filled, outline.polygon.exterior, polygon.exterior)
        whole = Polygon(polygon.exterior, (*polygon.holes, *filled))
        if not filled or self._is_seen_well(shape_of(whole), one, above):
            if polygon is outline.polygon and one.class_index == outline.class_index:
                yield pushed.entry
                return
            if filled:
                yield self._with_points(pushed, label, _joined(pushed, polygon, filled), size_hw)
        yield self._with_points(pushed, label, keyhole_ring(polygon), size_hw)

    def _is_seen_well(self, shape: Any, one: Outline, above: Shapes) -> bool:
        if not self._visible_dice:
            return True
        # Of hundreds of objects few lie on one: all of them at once would take a second each time.
        near = shapely.intersects(above, shape) | shapely.intersects(above, one.shape)
        on_top = shapely.union_all(above[near])
        seen, wanted = shape.difference(on_top), one.shape.difference(on_top)
        return dice_of(seen, wanted) >= self._visible_dice

    def _with_points(
        self, pushed: Pushed, label: Entry, ring: Ring, size_hw: tuple[int, int]
    ) -> Entry:
        points = pixels_to_percent(ring, size_hw).tolist()
        value = {**label["value"], "points": points}
        return {**pushed.entry, **{k: label[k] for k in ("from_name", "type")}, "value": value}

    def _drawn(self, one: Outline, size_hw: tuple[int, int], rng: np.random.Generator) -> Entry:
        entry = self.entry(one.class_index, self._draw(one, rng), size_hw)
        entry["id"] = new_id(rng)
        return entry


def new_id(rng: np.random.Generator) -> str:
    """Of a region that a person draws: ten characters, as Label Studio's editor makes them."""
    return "".join(rng.choice(_ID_LETTERS, size=10))


def _is_same(before: Entry, after: Entry) -> bool:
    return Effort.of(changes_between([before], [after])).is_unchanged


def _shape_of_entry(entry: Entry, size_hw: tuple[int, int]) -> Any:
    ring = percent_to_pixels(np.array(entry["value"]["points"], np.float64), size_hw)
    exterior, holes = rings_of(ring)
    return shape_of(Polygon(exterior, holes))


def _is_hidden(outline: Outline, over: Sequence[Any]) -> bool:
    """Whether shapes cover most of a region."""
    # Their union: what lies under two of them is hidden once.
    covered = shapely.union_all([outline.shape.intersection(shape) for shape in over]).area
    return bool(covered > outline.shape.area / 2)


def _moved(holes: tuple[Ring, ...], before: Ring, after: Ring) -> tuple[Ring, ...]:
    """Holes of a region that was dragged as a whole; else as they were."""
    if len(before) != len(after) or np.array_equal(before, after):
        return holes
    ways = after - before
    if np.ptp(ways, axis=0).max() > 1e-6:
        return holes
    return tuple(hole + ways[0] for hole in holes)


def _drawn_over(one: Outline, objects: Sequence[Outline]) -> Shapes:
    """(n,) shapes: those that come after an object in the order of drawing."""
    place = next(i for i, other in enumerate(objects) if other is one)
    return np.array([other.shape for other in objects[place + 1 :]], dtype=object)


def _joined(pushed: Pushed, polygon: Polygon, filled: tuple[Ring, ...]) -> Ring:
    """A keyhole ring with another exterior: in the editor holes stay on the points they hang on."""
    size_hw = (pushed.entry["original_height"], pushed.entry["original_width"])
    ring = percent_to_pixels(np.array(pushed.entry["value"]["points"], np.float64), size_hw)
    before, _ = rings_of(ring)
    if not np.array_equal(pushed.outline.filled[0], filled[0]):
        dragged: Ring = ring + (filled[0][0] - pushed.outline.filled[0][0])
        return dragged
    points = ring.tolist()
    detours = {}
    for point in before.tolist():
        first, last = points.index(point), len(points) - 1 - points[::-1].index(point)
        if last > first:
            detours[tuple(point)] = points[first + 1 : last]
    exterior = polygon.exterior
    hung: dict[int, list[list[float]]] = {}
    for place, detour in detours.items():
        nearest = int(np.hypot(*(exterior - place).T).argmin())
        hung.setdefault(nearest, []).extend([*detour, exterior[nearest].tolist()])
    joined = [[point, *hung.get(at, [])] for at, point in enumerate(exterior.tolist())]
    return np.array([point for part in joined for point in part], dtype=np.float64)
