"""Batches: which tasks go to whom next. Pure, so that its promises can be simulated.

A batch is a set of ``length`` tasks for one annotator, to be finished. Inside it Label Studio goes
by rising score, so that what the control arm drew tends to come last: were a queue topped up with
the lowest scores before it is done, those tasks would never be reached, and the ones that were
would tell of bad predictions only. Therefore:

- A new batch is drawn when nothing is left of the one before. Were it drawn a task earlier, the
  last one, which has the highest score of all, would be left again and again.
- A new version, or a person's change, may replace what the strategy chose and nobody has begun, by
  as many others in the same batch. What the control arm drew stays until it is labelled, skipped or
  gone; when its annotator leaves it passes to another.
- The first version replaces the rest of a batch by a new one of that length, with control draws:
  before it there were no predictions whose quality chance could tell.
- The control arm draws first, uniformly from all unlabelled tasks, also from those that stand in
  a queue already: such a task stays where it is and counts for both arms. Without that the
  strategy's open choices, the worst of the pool, would be missing from the sample.

So each control draw is labelled whatever its score, and a batch counts in an estimate only once all
of its control draws have an end (``active_learning.control_arm``): of batches that are done, the
control tasks are a uniform sample of the pool as it was when they were drawn.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from active_learning.strategies import Indices, Pool
from domain.queues import QueueArm

LEAST_CONTROL = 2
"""Control draws of a batch at least: from one alone no spread can be told."""

BEGUN = 2
"""Tasks at the head of a queue, lowest score first, that count as begun: one may be open in the
editor, which Label Studio's interface does not tell, and the next one may be loading."""

Choose = Callable[[Pool, int, np.random.Generator], Indices]


@dataclass(frozen=True, slots=True)
class Seat:
    """An annotator who gets tasks; ``length`` is how many a batch of theirs has."""

    annotator_id: int
    length: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A draw: a task in an annotator's queue, of a batch, by one arm.

    ``is_replaceable`` says that the strategy is asked again, ``is_early`` that it was drawn before
    the first version; neither makes it another draw.
    """

    task_id: int
    annotator_id: int
    batch: int
    arm: QueueArm
    is_replaceable: bool = field(default=False, compare=False)
    is_early: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to change: entries that leave, entries that come, entries that pass to another."""

    withdrawn: tuple[Entry, ...] = ()
    drawn: tuple[Entry, ...] = ()
    moved: tuple[tuple[Entry, int], ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return not (self.withdrawn or self.drawn or self.moved)


@dataclass(frozen=True, slots=True)
class Rules:
    """How batches are drawn.

    Attributes:
        choose: The strategy.
        control_share: Share of a batch that chance alone draws, in [0, 1]; 0 = none.
        reserved: Task id -> whose queue it left a while ago: it may still be open there, and goes
            to nobody else.
        closed: Tasks that nobody may be given: others have begun them.
        resting: Who has done nothing for a while: when tasks are few, none are kept for them.
    """

    choose: Choose
    control_share: float
    reserved: Mapping[int, int] = field(default_factory=dict)
    closed: Collection[int] = ()
    resting: Collection[int] = ()


def n_control(length: int, share: float) -> int:
    """Control draws of a batch: the share, rounded up, and at least ``LEAST_CONTROL``."""
    if share <= 0 or length <= 0:
        return 0
    # 0.1 * 30 is a hair above 3.
    return min(length, max(LEAST_CONTROL, math.ceil(share * length - 1e-9)))


def plan(
    pool: Pool,
    entries: Sequence[Entry],
    seats: Sequence[Seat],
    rules: Rules,
    newest_batch: int,
    rng: np.random.Generator,
) -> Plan:
    """Draws what the queues lack.

    Args:
        pool: All unlabelled tasks, those in queues too.
        entries: What stands in the queues, of annotators with a seat only.
        seats: Whom to give tasks, in the order in which they are served when there are few.
        rules: How.
        newest_batch: The number of the newest batch there has been.
        rng: All chance comes from it.
    """
    held = tasks_of(entries)
    short = [seat for seat in seats if seat.annotator_id not in held]
    if not short and not any(entry.is_replaceable for entry in entries):
        return Plan()
    draws = _Draws(pool, entries, seats, rules, rng)
    others = [
        len(held[seat.annotator_id])
        for seat in seats
        if 0 < len(held.get(seat.annotator_id, ())) < seat.length
        and seat.annotator_id not in rules.resting
    ]
    for turn, seat in enumerate(short):
        # What is left is shared out when it is little, also with those who will soon need some.
        length = min(seat.length, _level(draws.n_free(seat), [0] * (len(short) - turn) + others))
        if length:
            newest_batch += 1
            draws.open_batch(seat.annotator_id, length, newest_batch)
    for annotator_id, length in sorted(draws.begun_anew.items()):
        newest_batch += 1
        draws.open_batch(annotator_id, length, newest_batch)
    return draws.finish()


def _level(n: int, queues: Sequence[int]) -> int:
    """The length up to which n tasks fill the shortest of some queues, all alike, rounded up.

    >>> _level(15, [0, 1])
    8
    >>> _level(3, [0, 9])
    3
    """
    level, filled = 0.0, sorted(queues)
    for k in range(1, len(filled) + 1):
        level = (n + sum(filled[:k])) / k
        if k == len(filled) or level <= filled[k]:
            break
    return math.ceil(level - 1e-9)


def tasks_of(entries: Iterable[Entry]) -> dict[int, set[int]]:
    """The tasks in each annotator's queue."""
    found: dict[int, set[int]] = {}
    for entry in entries:
        found.setdefault(entry.annotator_id, set()).add(entry.task_id)
    return found


class _Draws:
    def __init__(
        self,
        pool: Pool,
        entries: Sequence[Entry],
        seats: Sequence[Seat],
        rules: Rules,
        rng: np.random.Generator,
    ) -> None:
        self._pool, self._rules, self._rng = pool, rules, rng
        self._is_open = ~np.isin(pool.task_ids, list(rules.closed))
        # A strategy's choices that are asked again, by their tasks; the others hold their tasks.
        self._asked = {entry.task_id: entry for entry in entries if entry.is_replaceable}
        self._holder = {e.task_id: e.annotator_id for e in entries if not e.is_replaceable}
        anew = [e for e in self._asked.values() if e.is_early] if rules.control_share > 0 else []
        self.begun_anew = Counter(e.annotator_id for e in anew)
        """Tasks of each annotator's unfinished batch that a new one with control draws replaces."""
        self._anew = {e.task_id for e in anew}
        seated = {seat.annotator_id for seat in seats}
        self._left = {i: a for i, a in rules.reserved.items() if a in seated}
        self._drawn: list[Entry] = []
        # (annotator, batch) of every place in a new batch that the strategy fills.
        self._places: list[tuple[int, int]] = []

    def n_free(self, seat: Seat) -> int:
        """Tasks that could still be promised to somebody."""
        ids = self._pool.task_ids[self._is_open]
        is_free = [self._home_of(int(i)) in (None, seat.annotator_id) for i in ids]
        taken = np.isin(ids, [*self._holder, *self._asked])
        return max(0, int((np.array(is_free, dtype=bool) & ~taken).sum()) - len(self._places))

    def open_batch(self, annotator_id: int, length: int, batch: int) -> None:
        n_places = length
        for task_id in self._uniform(n_control(length, self._rules.control_share)):
            home = self._home_of(task_id)
            holder = annotator_id if home is None else home
            # One that stands in another's queue, or may be open there, takes no place.
            n_places -= holder == annotator_id
            self._asked.pop(task_id, None)
            self._holder.setdefault(task_id, holder)
            self._drawn.append(Entry(task_id, holder, batch, QueueArm.CONTROL))
        self._places += [(annotator_id, batch)] * n_places

    def finish(self) -> Plan:
        asked = {(e.task_id, e.annotator_id, e.batch): e for e in self._asked.values()}
        kept = [e for e in asked.values() if e.task_id not in self._anew]
        places = [*self._places, *((e.annotator_id, e.batch) for e in kept)]
        drawn = list(self._drawn)
        for task_id, annotator_id, batch in self._strategys(_Places(places)):
            if asked.pop((task_id, annotator_id, batch), None) is None:
                drawn.append(Entry(task_id, annotator_id, batch, QueueArm.STRATEGY))
        return Plan(tuple(asked.values()), tuple(drawn))

    def _uniform(self, k: int) -> list[int]:
        ids = self._pool.task_ids[self._is_open]
        return [int(i) for i in self._rng.choice(ids, min(k, len(ids)), replace=False)]

    def _home_of(self, task_id: int) -> int | None:
        """In whose queue the task stands, or may still be open."""
        if task_id in self._asked:
            return self._asked[task_id].annotator_id
        return self._holder.get(task_id, self._left.get(task_id))

    def _strategys(self, places: _Places) -> list[tuple[int, int, int]]:
        """(task, annotator, batch) of every place the strategy could fill."""
        filled: list[tuple[int, int, int]] = []
        ids = self._pool.task_ids
        is_free = self._is_open & ~np.isin(ids, list(self._holder))
        while places.n_left:
            # What may be open at somebody's who has no place left goes to nobody.
            homes = [self._home_of(int(i)) for i in ids]
            has_place = np.array(
                [home is None or places.of(home) > 0 for home in homes], dtype=bool
            )
            rows = np.flatnonzero(is_free & has_place)
            if not len(rows):
                break
            picked = rows[self._rules.choose(self._pool.part(rows), places.n_left, self._rng)]
            is_free[picked] = False
            filled += places.deal([(int(ids[i]), homes[i]) for i in self._by_quality(picked)])
        return filled

    def _by_quality(self, rows: Indices) -> Indices:
        """Worst first; what is not predicted last, in the order chosen."""
        return rows[np.argsort(self._pool.quality[rows], kind="stable")]


class _Places:
    """Free places in queues: dealt so that each annotator gets as hard tasks as the others."""

    def __init__(self, places: Iterable[tuple[int, int]]) -> None:
        self._batches: dict[int, list[int]] = {}
        for annotator_id, batch in places:
            self._batches.setdefault(annotator_id, []).append(batch)
        self._total = {a: len(batches) for a, batches in self._batches.items()}
        self._turn = 1

    @property
    def n_left(self) -> int:
        return sum(map(len, self._batches.values()))

    def of(self, annotator_id: int) -> int:
        return len(self._batches.get(annotator_id, ()))

    def deal(self, tasks: Sequence[tuple[int, int | None]]) -> list[tuple[int, int, int]]:
        """Gives each task to its home, if it has one, else to whose turn it is."""
        dealt = []
        for task_id, home in tasks:
            annotator_id = home if home is not None else self._next()
            if annotator_id is None or not self.of(annotator_id):
                continue  # its home is full by now
            dealt.append((task_id, annotator_id, self._batches[annotator_id].pop(0)))
        return dealt

    def _next(self) -> int | None:
        """Who has got least of their share so far; among equals to and fro."""
        open_ = [a for a, batches in self._batches.items() if batches]
        if not open_:
            return None
        shares = {a: 1 - len(self._batches[a]) / self._total[a] for a in open_}
        least = min(shares.values())
        behind = [a for a in open_ if shares[a] <= least + 1e-12]
        if len(behind) == len(open_):
            self._turn = -self._turn
        return behind[0] if self._turn < 0 else behind[-1]


def begun(entries: Sequence[Entry], score_of: Mapping[int, float]) -> set[int]:
    """Tasks that may be open at somebody's: the first ``BEGUN`` of each queue, lowest score first.

    Args:
        entries: What stands in the queues.
        score_of: What Label Studio goes by; a task without one comes last, by its id.
    """
    return {
        task_id
        for tasks in tasks_of(entries).values()
        for task_id in sorted(tasks, key=lambda i: (score_of.get(i, math.inf), i))[:BEGUN]
    }


def passed_on(entries: Sequence[Entry], annotators: Collection[int], to: Sequence[int]) -> Plan:
    """What becomes of the queues of people who left: control draws pass on, the rest is free again.

    Args:
        entries: What stands in the queues.
        annotators: Who has a queue.
        to: Who takes over, in turn; empty = nobody: all of it is free again.
    """
    left = [entry for entry in entries if entry.annotator_id not in annotators]
    control = {entry.task_id for entry in left if entry.arm == QueueArm.CONTROL} if to else set()
    heirs = {task_id: to[turn % len(to)] for turn, task_id in enumerate(sorted(control))}
    return Plan(
        withdrawn=tuple(entry for entry in left if entry.task_id not in control),
        moved=tuple((entry, heirs[entry.task_id]) for entry in left if entry.task_id in control),
    )


def lent(
    entries: Sequence[Entry], idle: Collection[int], waiting: Sequence[int], begun: Collection[int]
) -> Plan:
    """Where nothing is left to draw, those who wait take over from queues that nobody works at.

    Args:
        entries: What stands in the queues.
        idle: Annotators who have done nothing for long.
        waiting: Annotators who have nothing left to label.
        begun: Tasks that stay where they are.
    """
    movable = sorted(
        {e.task_id for e in entries if e.annotator_id in idle and e.task_id not in begun}
    )
    if not movable or not waiting:
        return Plan()
    takers = {task_id: waiting[turn % len(waiting)] for turn, task_id in enumerate(movable)}
    return Plan(moved=tuple((e, takers[e.task_id]) for e in entries if e.task_id in takers))


def shortened(entries: Sequence[Entry], seats: Sequence[Seat], begun: Collection[int]) -> Plan:
    """What goes from queues that are longer than a batch of their annotator is now.

    What the control arm drew, and what may be open, stays.
    """
    control = {entry.task_id for entry in entries if entry.arm == QueueArm.CONTROL}
    length = {seat.annotator_id: seat.length for seat in seats}
    withdrawn: list[Entry] = []
    for annotator_id, tasks in tasks_of(entries).items():
        n_over = len(tasks) - length.get(annotator_id, len(tasks))
        free = [e for e in entries if e.annotator_id == annotator_id]
        free = [e for e in free if e.task_id not in control and e.task_id not in begun]
        withdrawn += free[: max(0, n_over)]
    return Plan(withdrawn=tuple(withdrawn))


def after(entries: Sequence[Entry], change: Plan) -> list[Entry]:
    """The entries as they are once a plan has been carried out."""
    moved, gone = dict(change.moved), {*change.withdrawn}
    kept = [
        replace(entry, annotator_id=moved.get(entry, entry.annotator_id))
        for entry in entries
        if entry not in gone
    ]
    return [*kept, *change.drawn]
