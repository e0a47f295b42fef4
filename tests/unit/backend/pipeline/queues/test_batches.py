"""Batches keep their promises over many people, versions and chances."""

from __future__ import annotations

import numpy as np
import pytest

from active_learning.strategies import Indices, Pool
from backend.pipeline.queues import batches
from backend.pipeline.queues.batches import Entry, Plan, Rules, Seat, plan
from domain.queues import QueueArm

CONTROL, STRATEGY = QueueArm.CONTROL, QueueArm.STRATEGY


def pool_of(quality: dict[int, float]) -> Pool:
    ids = sorted(quality)
    return Pool(
        task_ids=np.array(ids, dtype=np.int64),
        quality=np.array([quality[i] for i in ids], dtype=np.float64),
        measures={},
        class_shares=np.full((len(ids), 0), np.nan),
    )


def lowest(pool: Pool, k: int, rng: np.random.Generator) -> Indices:
    return np.argsort(pool.quality, kind="stable")[:k].astype(np.intp)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def rising(n: int) -> dict[int, float]:
    """Tasks 1 ... n, the later the better."""
    return {i: i / (n + 1) for i in range(1, n + 1)}


def tasks(change: Plan, annotator_id: int) -> set[int]:
    return {e.task_id for e in change.drawn if e.annotator_id == annotator_id}


def test_two_people_get_batches_that_share_no_task_and_are_as_hard() -> None:
    rules = Rules(lowest, control_share=0.1)
    change = plan(pool_of(rising(200)), [], [Seat(7, 20), Seat(8, 20)], rules, 0, rng())
    ours, theirs = tasks(change, 7), tasks(change, 8)
    assert (len(ours), len(theirs), ours & theirs) == (20, 20, set())
    control = [e for e in change.drawn if e.arm == CONTROL]
    assert sorted(e.batch for e in control) == [1, 1, 2, 2]
    chosen = {e.task_id for e in change.drawn if e.arm == STRATEGY}
    # The lowest that chance has not drawn.
    assert chosen == set(sorted(set(range(1, 201)) - {e.task_id for e in control})[:36])
    means = [np.mean(sorted(chosen & of)) for of in (ours, theirs)]
    assert abs(means[0] - means[1]) <= 1.0  # of 36 tasks in a row


@pytest.mark.parametrize("lengths", [(20, 5, 11), (3, 3, 3), (1, 40, 2)])
def test_everybody_gets_tasks_as_hard_whatever_their_length(lengths: tuple[int, ...]) -> None:
    seats = [Seat(number, length) for number, length in enumerate(lengths, start=1)]
    change = plan(pool_of(rising(300)), [], seats, Rules(lowest, 0.0), 0, rng())
    found = [np.mean(sorted(tasks(change, seat.annotator_id))) for seat in seats]
    assert [len(tasks(change, seat.annotator_id)) for seat in seats] == list(lengths)
    n_all = sum(lengths)
    middle = (n_all + 1) / 2
    for mean, length in zip(found, lengths, strict=True):
        # Dealt to and fro, no one is further from the middle than by one round of the deal.
        assert abs(mean - middle) <= max(n_all / length, len(lengths))


def test_a_batch_is_finished_before_the_next_one_is_drawn() -> None:
    pool = rising(100)
    rules = Rules(lowest, 0.1)
    entries = list(plan(pool_of(pool), [], [Seat(7, 10)], rules, 0, rng()).drawn)
    while len(entries) > 1:
        done = min(entries, key=lambda e: pool[e.task_id])
        entries.remove(done)
        del pool[done.task_id]
        assert plan(pool_of(pool), entries, [Seat(7, 10)], rules, 1, rng()).is_empty
    change = plan(pool_of(pool), [], [Seat(7, 10)], rules, 1, rng(1))
    assert not change.withdrawn
    assert {e.batch for e in change.drawn} == {2}


@pytest.mark.parametrize(("n_tasks", "n_people"), [(0, 2), (1, 3), (2, 3), (7, 3), (41, 2)])
def test_few_tasks_are_shared_out(n_tasks: int, n_people: int) -> None:
    seats = [Seat(number, 20) for number in range(1, n_people + 1)]
    pool = pool_of(rising(n_tasks))
    change = plan(pool, [], seats, Rules(lowest, 0.1), 0, rng())
    sizes = [len(tasks(change, seat.annotator_id)) for seat in seats]
    assert sum(sizes) == min(n_tasks, 20 * n_people)
    assert max(sizes) - min(sizes) <= 1
    if n_tasks <= 20 * n_people:
        # Asked again, nothing is left, and no batch of nothing is opened.
        assert plan(pool, change.drawn, seats, Rules(lowest, 0.1), n_people, rng(1)).is_empty


def test_an_emptied_pool_opens_no_batches_again_and_again() -> None:
    pool = rising(1)
    entries = [Entry(1, 7, 1, STRATEGY)]
    for seed in range(20):
        assert plan(
            pool_of(pool), entries, [Seat(7, 20), Seat(8, 20)], Rules(lowest, 0.5), 1, rng(seed)
        ).is_empty


def test_a_new_version_replaces_what_nobody_has_begun_and_chance_has_not_drawn() -> None:
    old = rising(60)
    first = plan(pool_of(old), [], [Seat(7, 10), Seat(8, 10)], Rules(lowest, 0.1), 0, rng())
    entries = list(first.drawn)
    control = {e.task_id for e in entries if e.arm == CONTROL}
    begun = batches.begun(entries, old)
    assert len(begun) == 4
    new = {task_id: 1 - score for task_id, score in old.items()}
    asked = [
        Entry(e.task_id, e.annotator_id, e.batch, e.arm, e.task_id not in begun | control)
        for e in entries
    ]
    change = plan(pool_of(new), asked, [Seat(7, 10), Seat(8, 10)], Rules(lowest, 0.1), 2, rng(1))
    now = batches.after(asked, change)
    assert {e.batch for e in now} == {1, 2}
    assert batches.tasks_of(now).keys() == {7, 8}
    assert all(len(of) == 10 for of in batches.tasks_of(now).values())
    kept = {e.task_id for e in now} & {e.task_id for e in entries}
    assert kept == begun | control
    # Asked once more with the same scores, nothing moves.
    again = [Entry(e.task_id, e.annotator_id, e.batch, e.arm, e.arm == STRATEGY) for e in now]
    calm = plan(pool_of(new), again, [Seat(7, 10), Seat(8, 10)], Rules(lowest, 0.1), 2, rng(2))
    assert {e.task_id for e in batches.after(again, calm)} >= control
    assert not {e.task_id for e in calm.drawn} & {e.task_id for e in again}


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
def test_the_first_version_replaces_a_batch_by_one_with_its_share_of_chance(
    share: float,
) -> None:
    pool = pool_of(rising(60))
    early = [
        Entry(i, 1, 1, QueueArm.STRATEGY, is_replaceable=i > 41, is_early=True)
        for i in range(40, 60)
    ]
    rules = Rules(lowest, share)
    change = plan(pool, early, [Seat(1, 20)], rules, 1, rng())
    control = [entry for entry in change.drawn if entry.arm == QueueArm.CONTROL]
    assert len(control) == batches.n_control(18, share)
    assert {entry.batch for entry in change.drawn} == ({2} if share else {1})
    there = batches.after(early, change)
    assert {40, 41} <= {entry.task_id for entry in there}
    # As many as before, less those that chance found among the two that stay.
    twice = len({entry.task_id for entry in control} & {40, 41})
    assert len({entry.task_id for entry in there}) == 20 - twice


def test_what_may_be_open_at_one_persons_never_goes_to_another() -> None:
    """The tasks taken back stay with whom they were, within this plan and for a while after."""
    for seed in range(30):
        random = np.random.default_rng(seed)
        pool = dict(zip(range(1, 41), random.random(40), strict=True))
        seats = [Seat(7, 10), Seat(8, 10)]
        entries = list(plan(pool_of(pool), [], seats, Rules(lowest, 0.1), 0, random).drawn)
        home = {e.task_id: e.annotator_id for e in entries}
        pool = dict(zip(range(1, 41), random.random(40), strict=True))
        asked = [
            Entry(e.task_id, e.annotator_id, e.batch, e.arm, e.arm == STRATEGY) for e in entries
        ]
        change = plan(pool_of(pool), asked, seats, Rules(lowest, 0.1), 2, random)
        now = batches.after(asked, change)
        assert all(home.get(e.task_id, e.annotator_id) == e.annotator_id for e in now)
        left = {e.task_id: e.annotator_id for e in change.withdrawn}
        # Somebody finishes: what left the other's queue is not for them.
        rest = [e for e in now if e.annotator_id == 8]
        pool = {i: q for i, q in pool.items() if i not in {e.task_id for e in now} - home.keys()}
        rules = Rules(lowest, 0.1, reserved=left)
        more = plan(pool_of(pool), rest, seats, rules, 2, random)
        assert all(left.get(e.task_id, e.annotator_id) == e.annotator_id for e in more.drawn)


def test_tasks_that_others_have_begun_are_given_to_nobody() -> None:
    rules = Rules(lowest, 0.5, closed={1, 2, 3})
    for seed in range(20):
        change = plan(pool_of(rising(12)), [], [Seat(7, 20)], rules, 0, rng(seed))
        assert tasks(change, 7) == set(range(4, 13))


@pytest.mark.slow
def test_chance_draws_from_the_whole_pool_also_from_queues() -> None:
    """A task that stands in a queue stays there, counts for both arms, and costs no place."""
    pool = rising(30)
    held = [Entry(i, 8, 1, STRATEGY) for i in range(1, 16)]
    counts = np.zeros(31)
    for seed in range(1500):
        change = plan(
            pool_of(pool), held, [Seat(7, 10), Seat(8, 20)], Rules(lowest, 0.1), 1, rng(seed)
        )
        control = [e for e in change.drawn if e.arm == CONTROL]
        assert len(control) == 2 and {e.batch for e in control} == {2}
        for entry in control:
            counts[entry.task_id] += 1
            assert entry.annotator_id == (8 if entry.task_id <= 15 else 7)
        assert len(tasks(change, 7)) == 10
    # 3,000 draws over 30 tasks: 100 each, give or take; chi-square with 29 degrees of freedom.
    assert ((counts[1:] - 100) ** 2 / 100).sum() < 58.3  # passed by 1 in 1,000


def test_control_draws_of_who_leaves_pass_on_and_the_rest_is_free() -> None:
    entries = [
        Entry(1, 7, 1, STRATEGY),
        Entry(2, 7, 1, CONTROL),
        Entry(3, 7, 1, CONTROL),
        Entry(3, 7, 1, STRATEGY),
        Entry(4, 8, 2, STRATEGY),
    ]
    change = batches.passed_on(entries, {8, 9}, [8, 9])
    now = batches.after(entries, change)
    assert [e.task_id for e in change.withdrawn] == [1]
    assert batches.tasks_of(now) == {8: {2, 4}, 9: {3}}
    assert batches.passed_on(entries, {7, 8}, [7, 8]).is_empty
    assert batches.after(entries, batches.passed_on(entries, set(), [])) == []


def test_the_last_tasks_are_lent_from_who_does_nothing() -> None:
    entries = [Entry(i, 7, 1, STRATEGY) for i in range(1, 6)]
    change = batches.lent(entries, {7}, [8], {1, 2})
    assert batches.tasks_of(batches.after(entries, change)) == {7: {1, 2}, 8: {3, 4, 5}}
    assert batches.lent(entries, set(), [8], set()).is_empty
    assert batches.lent(entries, {7}, [], set()).is_empty


def test_queues_longer_than_their_batch_are_cut_but_for_what_is_begun_or_chances() -> None:
    entries = [Entry(1, 7, 1, CONTROL), *(Entry(i, 7, 1, STRATEGY) for i in range(2, 9))]
    change = batches.shortened(entries, [Seat(7, 3)], {2, 3})
    assert {e.task_id for e in batches.after(entries, change)} == {1, 2, 3}


@pytest.mark.parametrize(
    ("length", "share", "n"),
    [(20, 0.1, 2), (30, 0.1, 3), (5, 0.1, 2), (1, 0.1, 1), (20, 0, 0), (20, 1, 20), (0, 0.1, 0)],
)
def test_the_control_share(length: int, share: float, n: int) -> None:
    assert batches.n_control(length, share) == n


def queue_of(annotator_id: int, *task_ids: int) -> list[Entry]:
    return [Entry(task_id, annotator_id, 1, STRATEGY) for task_id in task_ids]


@pytest.mark.parametrize(
    ("anna", "resting", "length"),
    [
        ([1], (), 8),  # anna is at her last one: 15 are left for both
        ([1], (8,), 15),  # she has done nothing for an hour
        (list(range(1, 21)), (), 15),  # hers is full
        (list(range(1, 11)), (), 13),  # 10 and 15: 12 or 13 for each
    ],
)
def test_the_last_tasks_are_shared_with_who_will_soon_need_some(
    anna: list[int], resting: tuple[int, ...], length: int
) -> None:
    pool = pool_of(rising(len(anna) + 15))
    rules = Rules(lowest, 0.0, resting=resting)
    change = plan(pool, queue_of(8, *anna), [Seat(7, 20), Seat(8, 20)], rules, 1, rng())
    assert len(tasks(change, 7)) == length
    assert not change.withdrawn


def test_with_enough_for_all_nobody_gets_less() -> None:
    seats = [Seat(7, 20), Seat(8, 20), Seat(9, 2)]
    entries = [*queue_of(8, 1), *queue_of(9, 2, 3)]
    change = plan(pool_of(rising(60)), entries, seats, Rules(lowest, 0.0), 1, rng())
    assert len(tasks(change, 7)) == 20
