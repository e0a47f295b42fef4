import numpy as np
import pytest
from hypothesis import given

from converters.outlines.arcs import borders_of
from domain.geometry import LabelMap
from tests.unit.converters.shapes import label_maps


def test_neighbours_share_one_arc() -> None:
    label_map = np.zeros((6, 8), dtype=np.uint8)
    label_map[1:5, 1:4] = 1
    label_map[1:5, 4:7] = 2
    borders = borders_of(label_map, [1, 2])
    first, second = ({arc for arc, _ in part.rings[0]} for part in borders.parts)
    (shared,) = first & second
    assert len(borders.arcs) == 3
    assert borders.arcs[shared].points.tolist() == [
        [4, 1],
        *([4, y + 0.5] for y in range(1, 5)),
        [4, 5],
    ]
    directions = [d for part in borders.parts for arc, d in part.rings[0] if arc == shared]
    assert sorted(directions) == [False, True]


def test_a_part_inside_another_is_its_hole() -> None:
    label_map = np.ones((7, 7), dtype=np.uint8)
    label_map[3, 3] = 2
    borders = borders_of(label_map, [1, 2])
    outer, inner = borders.parts
    assert [arc for arc, _ in outer.rings[1]] == [arc for arc, _ in inner.rings[0]]
    assert borders.arcs[inner.rings[0][0][0]].is_closed


def test_the_image_corners_are_junctions() -> None:
    borders = borders_of(np.ones((3, 5), dtype=np.uint8), [1])
    ends = {tuple(point) for arc in borders.arcs for point in arc.points[[0, -1]].tolist()}
    assert ends == {(0, 0), (5, 0), (0, 3), (5, 3)}


def test_parts_that_touch_by_a_corner_stay_apart() -> None:
    label_map = np.array([[1, 2, 0], [2, 1, 0], [0, 0, 1]], dtype=np.uint8)
    borders = borders_of(label_map, [1, 2])
    assert [part.class_index for part in borders.parts] == [1, 1, 1, 2, 2]
    assert [int(part.pixels.sum()) for part in borders.parts] == [1] * 5


@given(label_maps(3))
def test_every_pixel_is_in_one_part_and_every_arc_has_one_or_two_sides(
    label_map: LabelMap,
) -> None:
    borders = borders_of(label_map, [1, 2, 3])
    again = np.zeros_like(label_map)
    for part in borders.parts:
        again[part.window][part.pixels] += part.class_index
    np.testing.assert_array_equal(again, label_map)
    used = [arc for part in borders.parts for ring in part.rings for arc, _ in ring]
    counts = np.bincount(used, minlength=len(borders.arcs))
    assert len(borders.arcs) == 0 or (counts.min() >= 1 and counts.max() <= 2)


def test_small_parts_become_background() -> None:
    label_map = np.zeros((5, 9), dtype=np.uint8)
    label_map[1:3, 1:3] = 1
    label_map[1, 6] = 1
    assert len(borders_of(label_map, [1], min_area_px=4).parts) == 1
    assert len(borders_of(label_map, [1], min_area_px=0).parts) == 2


@pytest.mark.parametrize(("a", "x"), [(0.6, 4.0), (0.9, 3.75)])
def test_borders_run_where_two_classes_are_equally_probable(a: float, x: float) -> None:
    # From column 3 to 4 the foreground falls from a to 0.4: it is 0.5 in between.
    foreground = np.full((4, 8), 0.4, dtype=np.float32)
    foreground[:, :4] = a
    probabilities = np.stack([1 - foreground, foreground])
    label_map = probabilities.argmax(axis=0).astype(np.uint8)
    borders = borders_of(label_map, [1], probabilities=probabilities)
    share = (2 * a - 1) / ((2 * a - 1) + 0.2)
    highest = max(float(arc.points[:, 0].max()) for arc in borders.arcs)
    assert highest == pytest.approx(3.5 + share, abs=1e-5)
    ends = [p for arc in borders.arcs for p in arc.points.tolist() if p[1] in (0, 4)]
    assert max(p[0] for p in ends) == pytest.approx(3.5 + share, abs=1e-5)  # on the border, too
