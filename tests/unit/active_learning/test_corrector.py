"""Somebody who corrects hundreds of objects, most of which have nothing to do with each other."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import shapely

from active_learning.simulated.corrector import Corrector
from active_learning.simulated.outlines import outlines_of
from converters.label_studio.config.inferred_config import polygon_label_config
from converters.label_studio.config.label_config import parse_label_config
from domain.annotation import Region
from domain.geometry import Polygon

CONFIG = parse_label_config(polygon_label_config(("cell", "nucleus")))
SIZE_HW = (1000, 1000)


def disc(x: float, y: float, radius: float, class_index: int = 1) -> Region:
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    ring = np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)
    return Region(f"{x}-{y}-{radius}", class_index, (Polygon(ring),))


@pytest.mark.parametrize("visible_dice", [0.0, 0.88])
def test_of_many_objects_only_those_count_that_lie_on_one(
    visible_dice: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each was compared with the union of all others: four minutes of 900."""
    at = [(x, y) for x in range(50, 1000, 100) for y in range(50, 1000, 100)]
    cells = [disc(x, y, 40) for x, y in at]
    nuclei = [disc(x, y, 15, 2) for x, y in at]
    objects = outlines_of([*cells, *nuclei])
    sizes: list[int] = []
    real = shapely.union_all

    def union_all(shapes: Iterable[Any], *args: Any, **more: Any) -> Any:
        shapes = list(shapes)
        sizes.append(len(shapes))
        return real(shapes, *args, **more)

    monkeypatch.setattr(shapely, "union_all", union_all)
    someone = Corrector(CONFIG, visible_dice=visible_dice)
    pushed = someone.pushed([disc(x + 3, y, 40) for x, y in at], SIZE_HW)
    submitted = someone.submitted(pushed, objects, SIZE_HW, np.random.default_rng(0))
    assert len(submitted) == len(objects)
    taken = {one.entry["id"] for one in pushed} & {entry["id"] for entry in submitted}
    assert len(taken) == len(cells)
    assert max(sizes, default=0) <= 1
    assert bool(sizes) == (visible_dice > 0)


def test_what_lies_under_two_drawn_shapes_is_hidden_once() -> None:
    """A nucleus is left; two cells that were drawn anew cover the same third of it."""
    nucleus = disc(100, 100, 30, 2)
    cells = [disc(155, 100, 50), disc(155, 101, 50.5)]
    objects = outlines_of([*cells, nucleus])
    someone = Corrector(CONFIG)
    pushed = someone.pushed([nucleus], SIZE_HW)
    submitted = someone.submitted(pushed, objects, SIZE_HW, np.random.default_rng(0), uncovers=True)
    assert [entry["id"] for entry in submitted].count(pushed[0].entry["id"]) == 1
