from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from active_learning.effort import Effort
from active_learning.simulated.corrector import TIMES, Entry
from backend.demo.annotator import annotate, correct, draw
from backend.demo.label_config import LABEL_CONFIG
from backend.demo.phantom import Phantom
from backend.demo.vessel import LUMEN, WALL, Artery
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.corrections import changes_between
from converters.label_studio.read import annotation_to_label_map
from converters.label_studio.write import regions_to_result
from converters.outlines.vectorize import inner_last, vectorize
from converters.painting.rasterize import polygons_to_label_map
from domain.annotation import Annotation, Region
from domain.geometry import LabelMap
from domain.overlap import overlap

SIZE_HW = (464, 662)
CONFIG = parse_label_config(LABEL_CONFIG)
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


def test_unknown_class() -> None:
    with pytest.raises(KeyError):
        draw(TYPICAL, 3, rng())


def pushed(label_map: LabelMap, *, blur: float = 1.5) -> list[Entry]:
    """A prediction of this as the product pushes it: the wall with the lumen as its hole."""
    masks = [(label_map == k).astype(np.float32) for k in range(3)]
    mean = np.stack([cv2.GaussianBlur(mask, (0, 0), blur) for mask in masks])
    regions = vectorize(mean, [1, 2], iou_target=0.975, iou_floor=0.97, min_area_px=300)
    return regions_to_result(inner_last(regions), CONFIG, SIZE_HW, score=0.5)


def corrected(prediction: list[Entry] | None, truth: LabelMap, seed: int = 0) -> list[Entry]:
    return correct(prediction, truth, CONFIG, rng(seed))[0]


def seconds(prediction: list[Entry] | None, truth: LabelMap, seed: int) -> float:
    return correct(prediction, truth, CONFIG, rng(seed))[1]


def effort(prediction: list[Entry], submitted: list[Entry]) -> Effort:
    return Effort.of(changes_between(prediction, submitted))


def read(result: list[Entry]) -> LabelMap:
    """As the product reads what was submitted."""
    annotation = Annotation(id=1, task_id=1, result=result)
    return annotation_to_label_map(annotation, CONFIG, SIZE_HW)[0]


def seen(result: list[Entry], truth: LabelMap) -> tuple[float, float]:
    drawn = read(result)
    return dice(drawn == LUMEN, truth == LUMEN), dice(drawn == WALL, truth == WALL)


def shifted(truth: LabelMap, dx: int, dy: int = 0) -> LabelMap:
    return np.roll(truth, (dy, dx), axis=(0, 1))


def labels(result: list[Entry]) -> list[str]:
    return [entry["value"]["polygonlabels"][0] for entry in result]


def test_an_empty_truth_is_submitted_empty() -> None:
    assert annotate(EMPTY, rng()) == ()
    assert corrected(None, EMPTY) == corrected([], EMPTY) == []


def test_correcting_nothing_is_drawing_everything() -> None:
    nothing: list[Entry] | None
    for nothing in (None, []):
        drawn = corrected(nothing, TYPICAL)
        assert labels(drawn) == ["wall", "lumen"]
        lumen, wall = seen(drawn, TYPICAL)
        assert lumen > 0.94 and wall > 0.86


def test_a_good_prediction_is_submitted_as_it_is() -> None:
    prediction = pushed(TYPICAL)
    submitted = corrected(prediction, TYPICAL)
    assert submitted == prediction
    assert effort(prediction, submitted).is_unchanged


def test_what_lies_beside_its_place_is_dragged_there() -> None:
    prediction = pushed(shifted(TYPICAL, 6))
    submitted = corrected(prediction, TYPICAL)
    assert effort(prediction, submitted) == Effort(n_edited=2, points_moved=2)
    assert min(seen(submitted, TYPICAL)) > 0.9 > seen(prediction, TYPICAL)[1]


def test_a_stretch_that_is_wrong_is_clicked_anew_and_the_rest_stays() -> None:
    truth = truth_of(wall=2.0)
    cut = truth.copy()
    columns = np.flatnonzero(truth.any(axis=0))
    cut[:, : columns[len(columns) // 6]] = 0  # of the wall alone
    prediction = pushed(cut)
    submitted = corrected(prediction, truth)
    found = effort(prediction, submitted)
    assert (found.n_kept, found.n_edited, found.n_drawn, found.n_removed) == (1, 1, 0, 0)
    assert submitted[1] == prediction[1] and submitted[0]["id"] == prediction[0]["id"]
    assert 0 < found.actions < 20
    lumen, wall = seen(submitted, truth)
    assert lumen > 0.94 and wall > 0.86


def test_a_vessel_seen_where_none_is_gets_deleted() -> None:
    prediction = pushed(TYPICAL)
    assert corrected(prediction, EMPTY) == []
    assert effort(prediction, []) == Effort(n_removed=2)


def test_a_wall_that_is_drawn_anew_hides_no_lumen() -> None:
    # A person's region lies over what stays as predicted, and they draw the wall as a disc.
    far = truth_of(x=28.0)
    prediction = [pushed(far)[0], pushed(TYPICAL)[1]]
    assert labels(prediction) == ["wall", "lumen"]
    submitted = corrected(prediction, TYPICAL)
    assert labels(submitted) == ["wall", "lumen"]
    assert min(seen(submitted, TYPICAL)) > 0.86


def test_it_takes_the_longer_the_more_there_is_to_do() -> None:
    good, aside = pushed(TYPICAL), pushed(shifted(TYPICAL, 6))
    untouched, dragged, drawn, empty = (
        np.array([seconds(prediction, truth, seed) for seed in range(12)])
        for prediction, truth in ((good, TYPICAL), (aside, TYPICAL), (None, TYPICAL), ([], EMPTY))
    )
    # An image is looked at, also where nothing is to do; and nobody takes the same time each time.
    assert empty.min() > 0 and len(set(empty)) == 12
    assert np.median(untouched) < np.median(dragged) < 0.5 * np.median(drawn)


def test_of_a_wrong_lumen_in_a_good_wall_the_wall_stays() -> None:
    wrong = TYPICAL.copy()
    rows = np.flatnonzero((TYPICAL == LUMEN).any(axis=1))
    wrong[: rows[len(rows) // 3]][wrong[: rows[len(rows) // 3]] == LUMEN] = 0
    prediction = pushed(wrong)
    submitted = corrected(prediction, TYPICAL)
    lumen, wall = seen(submitted, TYPICAL)
    assert lumen > 0.94 and wall > 0.86


def test_what_is_no_polygon_or_of_no_class_goes() -> None:
    good = pushed(TYPICAL)
    box = {"id": "box", "type": "rectanglelabels", "value": {"x": 1, "y": 1, "width": 5}}
    other = {**good[0], "id": "other", "value": {**good[0]["value"], "polygonlabels": ["plaque"]}}
    assert corrected([box, other, *good, {"id": "bare"}], TYPICAL) == good


@settings(max_examples=6, deadline=None)
@given(
    dx=st.integers(-40, 40),
    dy=st.integers(-30, 30),
    grown=st.integers(-9, 9),
    swapped=st.booleans(),
    doubled=st.booleans(),
    seed=st.integers(0, 9),
)
def test_whatever_is_predicted_what_is_submitted_is_good_and_took_no_longer_than_anew(
    dx: int, dy: int, grown: int, swapped: bool, doubled: bool, seed: int
) -> None:
    predicted = shifted(TYPICAL, dx, dy)
    kernel = np.ones((abs(grown) + 1,) * 2, np.uint8)
    predicted = (cv2.dilate if grown > 0 else cv2.erode)(predicted, kernel)
    if swapped:
        predicted = np.where(predicted > 0, 3 - predicted, 0).astype(np.uint8)
    if doubled:
        predicted = np.maximum(predicted, shifted(predicted, 200))
    prediction = pushed(predicted)
    submitted = corrected(prediction, TYPICAL, seed)
    assert labels(submitted) == ["wall", "lumen"]
    lumen, wall = seen(submitted, TYPICAL)
    assert lumen > 0.9 and wall > 0.84
    n = sum(len(entry["value"]["points"]) for entry in corrected(None, TYPICAL, seed))
    anew = Effort(n_removed=len(prediction), n_drawn=2, points_drawn=n)
    assert TIMES.seconds(effort(prediction, submitted)) <= TIMES.seconds(anew) + 8 * TIMES.point_s
    assert len({entry["id"] for entry in submitted}) == 2
