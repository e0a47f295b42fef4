import numpy as np

from converters.outlines.crossings import crossings, lines_of, own_crossings
from domain.geometry import Ring


def ring(*points: tuple[float, float]) -> Ring:
    return np.array(points, dtype=np.float64)


def test_a_bow_tie_crosses_itself_in_its_middle() -> None:
    square = ring((0, 0), (4, 0), (4, 4), (0, 4))
    tie = ring((10, 0), (14, 4), (14, 0), (10, 4))
    ((number, points),) = own_crossings(lines_of([square, tie], [True, True]))
    assert number == 1
    assert points.tolist() == [[12, 2]]


def test_an_open_bow_tie_is_no_ring() -> None:
    line = ring((0, 0), (4, 4), (4, 0), (3, 0.5))
    assert list(own_crossings(lines_of([line], [False]))) == []


def test_an_edge_that_leads_back_lies_on_the_one_before() -> None:
    spike = ring((0, 0), (8, 0), (5, 0), (5, 3), (0, 3))
    ((_, points),) = own_crossings(lines_of([spike], [True]))
    assert {tuple(p) for p in points.tolist()} >= {(5.0, 0.0), (8.0, 0.0)}


def test_lines_may_meet_at_their_ends_alone() -> None:
    lines = [
        ring((0, 0), (5, 0)),
        ring((5, 0), (5, 5)),  # from where the first ends
        ring((2, -2), (2, 2)),  # across the first
        ring((5, 3), (9, 3)),  # starts on the second
    ]
    found = {pair: points.tolist() for pair, points in crossings(lines_of(lines, [False] * 4))}
    assert found == {(0, 2): [[2, 0]], (1, 3): [[5, 3]]}


def test_no_lines_cross_nowhere() -> None:
    lines = lines_of([], [])
    assert list(own_crossings(lines)) == []
    assert list(crossings(lines)) == []
