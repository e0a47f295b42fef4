import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st

from converters.painting.rasterize import shape_to_mask
from converters.painting.spans import crossed_spans, spans_to_mask
from domain.geometry import Ring
from tests.unit.converters.shapes import sizes

coordinate = st.floats(-6, 30, width=32)
lines = st.lists(st.tuples(coordinate, coordinate), min_size=1, max_size=6).map(
    lambda points: np.array(points, dtype=np.float64)
)


@given(st.lists(lines, min_size=1, max_size=3), sizes)
def test_crossed_pixels_are_those_the_lines_run_through(
    drawn: list[Ring], size_hw: tuple[int, int]
) -> None:
    mask = shape_to_mask(spans_to_mask(crossed_spans(drawn, size_hw), size_hw), size_hw)
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    line = shapely.union_all(
        [shapely.LineString(p) if np.ptp(p, axis=0).any() else shapely.Point(p[0]) for p in drawn]
    )
    # Lines along pixel borders belong to one side or the other.
    surely = shapely.intersects(shapely.box(x + 1e-6, y + 1e-6, x + 1 - 1e-6, y + 1 - 1e-6), line)
    perhaps = shapely.dwithin(shapely.box(x, y, x + 1, y + 1), line, 1e-6)
    assert (mask[surely]).all()
    assert not (mask & ~perhaps).any()


def test_a_line_on_the_far_border_counts_as_inside() -> None:
    corner = [np.array([[8.0, 0.0], [8.0, 4.0], [0.0, 4.0]])]
    mask = shape_to_mask(spans_to_mask(crossed_spans(corner, (4, 8)), (4, 8)), (4, 8))
    assert mask[:, 7].all()
    assert mask[3].all()
    assert not mask[:3, :7].any()


def test_no_lines_mark_nothing() -> None:
    assert spans_to_mask(crossed_spans([], (4, 8)), (4, 8)).inside.size == 0
