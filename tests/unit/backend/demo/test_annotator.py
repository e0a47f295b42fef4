from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from backend.demo.annotator import KEEP_DICE, annotate, correct, draw
from backend.demo.phantom import Phantom
from backend.demo.vessel import LUMEN, WALL, Artery
from converters.painting.rasterize import polygons_to_label_map
from domain.annotation import Region
from domain.geometry import LabelMap, Polygon
from domain.overlap import overlap

SIZE_HW = (464, 662)
PLAIN = ((0.05, 0.3), (0.02, 1.0), (0.01, 2.0), (0.01, 3.0))


def truth_of(x: float = 20.0, z: float = 14.0, radius: float = 3.0, wall: float = 0.85) -> LabelMap:
    artery = Artery((x, z), radius, wall, PLAIN, (0.1, 0.5))
    return artery.truth(Phantom.empty(SIZE_HW))


TYPICAL = truth_of()
CUT_BY_THE_LEFT_SIDE = truth_of(x=-0.5)
CUT_BY_THE_BOTTOM = truth_of(z=28.0)
EMPTY = np.zeros(SIZE_HW, dtype=np.uint8)


def painted(regions: tuple[Region, ...]) -> LabelMap:
    return polygons_to_label_map([(r.class_index, p) for r in regions for p in r.polygons], SIZE_HW)


def dice(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    found = overlap(a, b).dice
    assert found is not None
    return found


def agreement(regions: tuple[Region, ...], truth: LabelMap) -> tuple[float, float]:
    drawn = painted(regions)
    return dice(drawn == LUMEN, truth == LUMEN), dice(drawn == WALL, truth == WALL)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "truth",
    [TYPICAL, truth_of(radius=2.0), truth_of(radius=3.5), CUT_BY_THE_LEFT_SIDE, CUT_BY_THE_BOTTOM],
    ids=["typical", "small", "large", "cut left", "cut bottom"],
)
def test_agrees_with_the_truth_as_a_person_does(truth: LabelMap, seed: int) -> None:
    lumen, wall = agreement(annotate(truth, rng(seed)), truth)
    assert 0.94 < lumen < 0.998  # good, and never perfect
    assert 0.86 < wall < 0.985


def test_typical_agreement_over_many_hands() -> None:
    pairs = np.array([agreement(annotate(TYPICAL, rng(seed)), TYPICAL) for seed in range(30)])
    lumen, wall = np.median(pairs, axis=0)
    assert 0.97 < lumen < 0.995
    assert 0.91 < wall < 0.975


def test_without_jitter_only_the_corners_cut_by_straight_lines_are_missing() -> None:
    lumen, wall = agreement(annotate(TYPICAL, rng(), jitter_px=0.0), TYPICAL)
    assert 0.98 < lumen < 1.0
    assert 0.95 < wall < 1.0


def test_more_jitter_agrees_less() -> None:
    by_jitter = [
        np.mean([agreement(annotate(TYPICAL, rng(s), jitter_px=j), TYPICAL) for s in range(5)])
        for j in (0.0, 1.0, 3.0)
    ]
    assert by_jitter[0] > by_jitter[1] > by_jitter[2]


def test_wall_is_drawn_first_and_around_the_lumen() -> None:
    wall, lumen = annotate(TYPICAL, rng())
    assert (wall.class_index, lumen.class_index) == (WALL, LUMEN)
    assert dice(painted((wall,)) == WALL, TYPICAL > 0) > 0.97
    assert wall.score is None and wall.id != lumen.id


@pytest.mark.parametrize("truth", [TYPICAL, CUT_BY_THE_LEFT_SIDE, CUT_BY_THE_BOTTOM])
def test_clicks_are_few_and_within_the_image(truth: LabelMap) -> None:
    for region in annotate(truth, rng()):
        (polygon,) = region.polygons
        assert 14 <= polygon.n_vertices <= 34
        assert (polygon.exterior >= 0).all()
        assert (polygon.exterior <= [SIZE_HW[1], SIZE_HW[0]]).all()


def test_spacing_is_uneven() -> None:
    (lumen,) = draw(TYPICAL, LUMEN, rng())
    ring = lumen.polygons[0].exterior
    gaps = np.hypot(*(np.roll(ring, -1, axis=0) - ring).T)
    assert gaps.std() > 0.15 * gaps.mean()


def test_a_vessel_cut_by_the_border_is_drawn_up_to_the_border() -> None:
    wall, _ = annotate(CUT_BY_THE_LEFT_SIDE, rng())
    on_border = wall.polygons[0].exterior[:, 0] == 0.0
    assert on_border.sum() >= 2
    rows = np.flatnonzero(CUT_BY_THE_LEFT_SIDE[:, 0])
    y = wall.polygons[0].exterior[on_border, 1]
    assert abs(y.min() - rows[0]) < 4 and abs(y.max() - rows[-1] - 1) < 4


def test_the_same_hand_draws_the_same() -> None:
    one, two = annotate(TYPICAL, rng(4)), annotate(TYPICAL, rng(4))
    assert [r.id for r in one] == [r.id for r in two]
    assert np.array_equal(one[0].polygons[0].exterior, two[0].polygons[0].exterior)


def test_an_empty_truth_is_submitted_empty() -> None:
    assert annotate(EMPTY, rng()) == ()
    assert correct(None, EMPTY, rng()) == ()


def test_unknown_class() -> None:
    with pytest.raises(KeyError):
        draw(TYPICAL, 3, rng())


def test_correcting_nothing_is_drawing_everything() -> None:
    assert [r.class_index for r in correct(None, TYPICAL, rng())] == [WALL, LUMEN]
    assert [r.class_index for r in correct((), TYPICAL, rng())] == [WALL, LUMEN]


def test_a_good_prediction_is_kept() -> None:
    prediction = annotate(TYPICAL, rng(), jitter_px=0.0)
    assert min(agreement(prediction, TYPICAL)) >= KEEP_DICE
    assert correct(prediction, TYPICAL, rng()) == prediction


def test_only_the_bad_class_is_drawn_anew() -> None:
    wall, lumen = annotate(TYPICAL, rng(), jitter_px=0.0)
    shifted = Region("shifted", WALL, (Polygon(wall.polygons[0].exterior + 9.0),), 0.4)
    submitted = correct((shifted, lumen), TYPICAL, rng())
    assert [r.class_index for r in submitted] == [WALL, LUMEN]
    assert submitted[1] is lumen
    assert submitted[0] is not shifted
    assert min(agreement(submitted, TYPICAL)) > 0.86


def test_a_vessel_seen_where_none_is_gets_deleted() -> None:
    assert correct(annotate(TYPICAL, rng()), EMPTY, rng()) == ()
