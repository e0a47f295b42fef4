from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its documentation calls it so
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from converters.painting.combining import agreement, choose, combine, pooled
from converters.painting.policies import POLICIES, AnnotatorPolicy
from domain.annotation import Annotation
from domain.geometry import LabelMap

several = st.integers(1, 5).flatmap(
    lambda n: hnp.arrays(np.uint8, (n, 5, 6), elements=st.integers(0, 3))
)


@dataclass(frozen=True)
class Row:
    id: int
    updated_at: str
    ground_truth: bool = False


def test_choose() -> None:
    old = Row(9, "2026-01-01T00:00:00Z", ground_truth=True)
    middle, new = Row(2, "2026-01-02T00:00:00Z"), Row(1, "2026-01-03T00:00:00Z")
    rows = [new, old, middle]
    assert choose(rows, "latest") == (new,)
    assert choose(rows, "ground_truth_first") == (old,)
    assert choose([new, middle], "ground_truth_first") == (new,)
    for policy in ("union", "majority", "staple"):
        assert choose(rows, policy) == (old, middle, new)


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=20, deadline=None)
@given(label_map=hnp.arrays(np.uint8, (5, 6), elements=st.integers(0, 3)), n=st.integers(1, 4))
def test_who_agree_are_not_changed(policy: AnnotatorPolicy, label_map: LabelMap, n: int) -> None:
    np.testing.assert_array_equal(combine([label_map] * n, policy, 3), label_map)


@given(several)
def test_votes_pixel_by_pixel(maps: LabelMap) -> None:
    majority, union = (combine(list(maps), p, 3) for p in ("majority", "union"))
    if len(maps) == 1:
        return
    for at in np.ndindex(maps.shape[1:]):
        votes = [int((maps[:, at[0], at[1]] == k).sum()) for k in range(4)]
        assert majority[at] == votes.index(max(votes))  # the first of equals: background, then 1
        assert union[at] == (0 if sum(votes[1:]) == 0 else 1 + votes[1:].index(max(votes[1:])))


def test_staple_gives_nothing_nobody_drew_where_it_fails() -> None:
    """Both annotators left out the third pixel; SimpleITK gives it the class."""
    first = np.array([[0, 1, 0, 1], [1, 1, 0, 1]], dtype=np.uint8)
    second = np.array([[1, 1, 0, 0], [1, 0, 1, 0]], dtype=np.uint8)
    assert combine([first, second], "staple", 1)[0, 2] == 0


@settings(deadline=None, max_examples=25)
@given(several)
def test_staple_gives_nothing_nobody_drew(maps: LabelMap) -> None:
    combined = combine(list(maps), "staple", 3)
    assert combined.dtype == np.uint8
    assert ((maps == combined).any(axis=0) | (combined == 0)).all()


def test_staple_outvotes_one_who_is_off() -> None:
    maps = np.zeros((4, 40, 40), dtype=np.uint8)
    maps[:3, 10:20, 10:20] = 2
    maps[0, 10, 10] = 0
    maps[3, 25:35, 25:35] = 2
    expected = maps[1]
    np.testing.assert_array_equal(combine(list(maps), "staple", 2), expected)


def test_combine_refuses() -> None:
    one = np.zeros((2, 2), dtype=np.uint8)
    with pytest.raises(ValueError, match="at least one"):
        combine([], "union", 1)
    with pytest.raises(ValueError, match="one size"):
        combine([one, one[:1]], "union", 1)
    with pytest.raises(ValueError, match="'best'"):
        combine([one, one], "best", 1)  # type: ignore[arg-type]


def test_agreement_by_pair_and_class() -> None:
    a = np.array([[1, 1, 0, 0]], dtype=np.uint8)
    b = np.array([[1, 0, 2, 0]], dtype=np.uint8)
    rows = agreement({7: b, 3: a, 5: a}, ("lumen", "wall"))
    by_key = {(r.annotator_a, r.annotator_b, r.class_value): r.dice for r in rows}
    assert by_key == {
        (3, 5, "lumen"): 1.0,
        (3, 5, "wall"): None,
        (3, 7, "lumen"): 2 / 3,
        (3, 7, "wall"): 0.0,
        (5, 7, "lumen"): 2 / 3,
        (5, 7, "wall"): 0.0,
    }
    with pytest.raises(ValueError, match="annotator 3"):
        agreement({3: a, 7: b[:, :2]}, ("lumen",))


def test_pooled_adds_areas() -> None:
    empty, full = np.zeros((1, 4), dtype=np.uint8), np.ones((1, 4), dtype=np.uint8)
    half = np.array([[1, 1, 0, 0]], dtype=np.uint8)
    rows = [*agreement({1: full, 2: half}, ("a",)), *agreement({1: empty, 2: half}, ("a",))]
    (row,) = pooled(rows)
    assert (row.overlap_px, row.area_a_px, row.area_b_px, row.n_tasks) == (2, 4, 4, 2)
    assert row.dice == 0.5


def test_a_task_without_the_class_is_not_counted_for_it() -> None:
    empty, full = np.zeros((1, 4), dtype=np.uint8), np.ones((1, 4), dtype=np.uint8)
    pairs = [(full, full), *[(empty, empty)] * 50]
    rows = [row for a, b in pairs for row in agreement({1: a, 2: b}, ("lumen", "debris"))]
    debris, lumen = sorted(pooled(rows), key=lambda row: row.class_value)
    assert (lumen.dice, lumen.n_tasks) == (1.0, 1)
    assert (debris.dice, debris.n_tasks) == (None, 0)


@pytest.mark.parametrize("policy", ["union", "majority", "staple"])
def test_a_class_nobody_has_drawn_changes_no_combination(policy: AnnotatorPolicy) -> None:
    maps = np.zeros((3, 30, 30), dtype=np.uint8)
    maps[:, 5:15, 5:15] = 1
    maps[0, 5:15, 13:15] = 0
    maps[2, 20:25, 20:25] = 2  # one of three sees the second class
    few, more = combine(list(maps), policy, 2), combine(list(maps), policy, 5)
    np.testing.assert_array_equal(few, more)
    assert (few == 1).any()
    # Nobody drew anything: nothing comes of it.
    assert not combine(list(np.zeros_like(maps)), policy, 2).any()


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("2026-01-01T12:00:00Z", "2026-01-01T12:00:00.500000Z"),  # no fraction is written as none
        ("2026-01-01T12:00:00+02:00", "2026-01-01T11:00:00Z"),
        ("2026-01-01T12:00:00", "2026-01-01T12:00:01Z"),  # no zone
        ("", "2026-01-01"),
        ("no time", "2026-01-01T12:00:00Z"),
    ],
)
def test_the_latest_is_so_by_the_clock_not_by_the_text(older: str, newer: str) -> None:
    first = Annotation(id=9, task_id=1, result=[], updated_at=older)
    last = Annotation(id=1, task_id=1, result=[], updated_at=newer)
    for order in ([first, last], [last, first]):
        assert choose(order, "latest") == (last,)


IGNORED = 3
"""With two classes."""


def _maps(*rows: list[int]) -> list[LabelMap]:
    return [np.array([row], dtype=np.uint8) for row in rows]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        # Who ignores a pixel has no say in it: one lumen against one silent is lumen, and so on.
        ("union", [1, 0, 2, 1, IGNORED, 1]),
        ("majority", [1, 0, 2, 0, IGNORED, 1]),
        # The second has drawn what the first drew, so that they are believed beside the third.
        ("staple", [1, 0, 2, 1, IGNORED, 1]),
    ],
)
def test_who_ignored_a_pixel_has_no_say(policy: AnnotatorPolicy, expected: list[int]) -> None:
    maps = _maps([1, 0, 3, 3, 3, 1], [3, 3, 2, 1, 3, 1], [3, 3, 2, 0, 3, 3])
    assert combine(maps, policy, 2).tolist() == [expected]


@pytest.mark.parametrize("policy", ["latest", "ground_truth_first"])
def test_of_one_annotation_what_it_ignores_stays_ignored(policy: AnnotatorPolicy) -> None:
    maps = _maps([1, 1, 1], [0, 2, 3])
    assert combine(maps, policy, 2).tolist() == [[0, 2, IGNORED]]


@pytest.mark.parametrize("policy", POLICIES)
def test_what_nobody_knows_is_ignored_by_one_integer(policy: AnnotatorPolicy) -> None:
    maps = _maps([3, 1], [3, 1])
    assert combine(maps, policy, 2).tolist() == [[IGNORED, 1]]


@pytest.mark.parametrize("policy", ["union", "majority", "staple"])
@settings(deadline=None, max_examples=20)
@given(several.filter(lambda maps: len(maps) > 1))
def test_one_who_ignores_all_changes_nothing(policy: AnnotatorPolicy, maps: LabelMap) -> None:
    """Elements up to 3 = ignored; a tie-breaker who is silent must break none."""
    silent = np.full(maps.shape[1:], IGNORED, dtype=np.uint8)
    together = combine([*maps, silent], policy, 2)
    np.testing.assert_array_equal(together, combine(list(maps), policy, 2))


def test_staple_is_not_misled_by_what_somebody_did_not_look_at() -> None:
    """Three draw a disc alike, and one of them only looked at a corner of the image."""
    maps = np.zeros((4, 40, 40), dtype=np.uint8)
    maps[:, 10:20, 10:20] = 2
    maps[0, 10, 10] = 0
    maps[3, 12:] = IGNORED
    np.testing.assert_array_equal(combine(list(maps), "staple", 2), maps[1])


def noisy(truth: LabelMap, shares: Sequence[float], seed: int) -> list[LabelMap]:
    """Annotators who are wrong in these shares of the pixels."""
    random = np.random.default_rng(seed)
    return [np.where(random.random(truth.shape) < s, 1 - truth, truth) for s in shares]


def disc() -> LabelMap:
    truth = np.zeros((60, 80), dtype=np.uint8)
    truth[15:45, 15:60] = 1
    return truth


@pytest.mark.parametrize("shares", [(0.1, 0.3), (0.05, 0.2, 0.3), (0.1, 0.1, 0.2, 0.25, 0.3)])
def test_staple_is_simpleitks_where_all_have_a_say(shares: tuple[float, ...]) -> None:
    maps = noisy(disc(), shares, seed=len(shares))
    images = [sitk.GetImageFromArray(one) for one in maps]
    theirs = sitk.GetArrayFromImage(sitk.STAPLE(images, 1.0)) > 0.5
    np.testing.assert_array_equal(combine(maps, "staple", 1), theirs)


@pytest.mark.parametrize("seed", range(3))
def test_how_good_one_is_is_not_judged_by_what_they_ignored(seed: int) -> None:
    """Who is always right where they looked is believed there, against two who often err."""
    truth = disc()
    looked = np.zeros(truth.shape, dtype=bool)
    looked[:, 20:40] = True
    careful = np.where(looked, truth, np.uint8(2))
    maps = [*noisy(truth, (0.25, 0.25), seed), careful]
    right = combine(maps, "staple", 1)[looked] == truth[looked]
    assert right.mean() > 0.97
    assert (combine(maps, "majority", 1)[looked] == truth[looked]).mean() < 0.95


def test_agreement_leaves_out_what_one_of_two_ignores() -> None:
    (lumen, wall) = agreement(dict(enumerate(_maps([1, 1, 3, 2], [1, 3, 1, 3]))), ("lumen", "wall"))
    assert (lumen.overlap_px, lumen.area_a_px, lumen.area_b_px, lumen.dice) == (1, 1, 1, 1.0)
    # Only where one of them did not look is there a wall: it says nothing about their agreement.
    assert (wall.dice, wall.n_tasks) == (None, 0)
