"""Draws what the queues of a project lack, and takes back what does not belong there any more."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sqlalchemy.orm import Session

from active_learning.control_arm import gain
from active_learning.strategies import acting_strategy, needs_embeddings
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.query_strategy import wanted_strategy
from backend.pipeline.queues import batches
from backend.pipeline.queues.annotators import STARTER, Annotators
from backend.pipeline.queues.arms import draws_of
from backend.pipeline.queues.batches import Entry, Plan, Rules, Seat
from backend.pipeline.queues.pool import (
    BEGUN,
    BY_CHANCE,
    CHANCE,
    QueuePool,
    open_pool,
    scoring_version,
)
from backend.settings import ProjectSettings
from backend.store import clock
from backend.store.tasks import elsewhere, queues
from backend.store.tasks.queues import QueueEntryRow
from domain.queues import QueueArm, QueueExit
from domain.text import counted

logger = logging.getLogger(__name__)

HOLD_S = 4 * 3600.0
"""A page of Label Studio keeps the list that its tab had when it was opened: a task that left a
queue may be labelled there for as long, and goes to nobody else."""

LEND_AFTER_S = 3600.0
"""Who has labelled nothing for so long does not keep the last tasks from those who wait."""


@dataclass(frozen=True, slots=True)
class People:
    """Who labels in a project, when each last did, and which tasks somebody has begun.

    ``owners`` are those who began a task that stands in no queue.
    """

    annotators: Annotators
    last_labelled: dict[int, float]
    drafts: frozenset[int]
    owners: dict[int, set[int]]

    @property
    def ids(self) -> list[int]:
        """Of the annotators, who labelled last first."""
        return [annotator.id for annotator in self.annotators.found]

    def seats(self, length: int) -> list[Seat]:
        """What each of them gets."""
        whole = [Seat(one.id, length) for one in self.annotators.found if not one.is_starter]
        return [*whole, *self.starters(length)]

    def starters(self, length: int) -> list[Seat]:
        """What those get who have never labelled here."""
        short = min(STARTER, length)
        return [Seat(one.id, short) for one in self.annotators.found if one.is_starter]

    def heirs(self) -> list[int]:
        """Who takes over from those who leave."""
        return [one.id for one in self.annotators.found if not one.is_starter] or self.ids

    def idle(self) -> set[int]:
        """Annotators who have done nothing for ``LEND_AFTER_S``."""
        now = clock.now()
        return {a for a in self.ids if now - self.last_labelled.get(a, 0.0) >= LEND_AFTER_S}


def entry_of(row: QueueEntryRow) -> Entry:
    """A row of the store as batches know it."""
    return Entry(row.task_id, row.annotator_id, row.batch, QueueArm(row.arm))


def draw(context: AppContext, project_id: int, settings: ProjectSettings, people: People) -> None:
    """Brings the queues in the store up to date; where nothing is due, the pool is not read."""
    with context.store.read() as session:
        rows = queues.open_entries(session, project_id)
        version = scoring_version(session, project_id)
        version_id = version.id if version else None
        scored_at = elsewhere.scored_at(session, project_id) if version_id is None else 0.0
        wanted = wanted_strategy(settings, version_id, has_scores=scored_at > 0)
        is_blind = bool(_chosen_blind(rows, wanted))
        stale = _stale(rows, version_id, scored_at)
        if not is_blind and not stale and not _is_due(rows, settings, people):
            return
        opened = _open(session, project_id, settings)
        newest = queues.newest_batch(session, project_id)
        before = queues.scores_before(session, rows, version_id)
        away = queues.withdrawn_since(session, project_id, clock.now() - HOLD_S)
    changes = _Changes([entry_of(row) for row in rows])
    changes.add(batches.passed_on(changes.entries, people.ids, people.heirs()))
    changes.add(_begun_elsewhere(opened, people, newest), BEGUN)
    # What is open was served by the order of then.
    begun = batches.begun(changes.entries, opened.scores) | people.drafts
    begun |= batches.begun(changes.entries, before)
    seats = people.seats(settings.queue_length)
    starters = _idle_starters(rows, people, settings.queue_length)
    changes.add(batches.shortened(changes.entries, starters, begun))
    held = {entry.task_id for entry in changes.entries}
    rules = Rules(
        choose=opened.choose,
        control_share=settings.control_share if version_id is not None else 0.0,
        # Who never labelled here has no page open with it.
        reserved={task_id: a for task_id, a in away.items() if a in people.last_labelled},
        closed=people.drafts - held,
        resting=people.idle(),
    )
    # Drawn again after a crash, it is the same draw. Seeds are not negative.
    rng = np.random.default_rng([settings.seed % 2**32, project_id, newest, len(rows)])
    stale |= _chosen_blind(rows, opened.strategy)
    early = {(row.task_id, row.batch) for row in rows if row.version_id is None}
    asked = _asked(changes.entries, stale, begun, early)
    changes.add(batches.plan(opened.pool, asked, seats, rules, newest, rng), opened.strategy)
    holders = batches.tasks_of(changes.entries)
    waiting = [a for a in people.ids if a not in people.idle() and a not in holders]
    changes.add(batches.lent(changes.entries, people.idle(), waiting, begun))
    _write(context, project_id, opened, changes, scored_at)


class _Changes:
    """Plans that follow each other, with the strategy that each draws by."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.plans: list[tuple[Plan, str]] = []

    def add(self, change: Plan, strategy: str = "") -> None:
        self.plans.append((change, strategy))
        self.entries = batches.after(self.entries, change)


def _is_due(
    rows: Sequence[QueueEntryRow],
    settings: ProjectSettings,
    people: People,
) -> bool:
    entries = [entry_of(row) for row in rows]
    starters = _idle_starters(rows, people, settings.queue_length)
    return (
        batches.tasks_of(entries).keys() != {*people.ids}
        or not batches.shortened(entries, starters, ()).is_empty
        or bool(people.owners)
    )


def _idle_starters(rows: Sequence[QueueEntryRow], people: People, length: int) -> list[Seat]:
    """Those who have never labelled here and got nothing for an hour: they may not have begun."""
    since = clock.now() - LEND_AFTER_S
    recent = {row.annotator_id for row in rows if row.drawn_at > since}
    return [seat for seat in people.starters(length) if seat.annotator_id not in recent]


def _open(session: Session, project_id: int, settings: ProjectSettings) -> QueuePool:
    """The pool, with the strategy that really acts; with chance where that one does not pay."""
    version = scoring_version(session, project_id)
    version_id = version.id if version else None
    has_scores = version_id is None and elsewhere.scored_at(session, project_id) > 0
    wanted = wanted_strategy(settings, version_id, has_scores=has_scores)
    opened = open_pool(session, project_id, version_id, wanted)
    if version_id is None or not settings.turn_to_random:
        return opened
    found = gain(draws_of(session, project_id, opened.strategy))
    if found is None or found.pays is not False:
        return opened
    return replace(opened, strategy=acting_strategy(BY_CHANCE, opened.pool))


def _begun_elsewhere(opened: QueuePool, people: People, batch: int) -> Plan:
    """Tasks that annotators have begun outside of their queues come into them."""
    drawn = []
    for task_id, owners in sorted(people.owners.items()):
        owner = next((one for one in people.ids if one in owners), None)
        if owner is not None and task_id in opened.sources:
            drawn.append(Entry(task_id, owner, batch, QueueArm.STRATEGY))
    return Plan(drawn=tuple(drawn))


def _stale(
    rows: Sequence[QueueEntryRow], version_id: int | None, scored_at: float
) -> set[tuple[int, int]]:
    """(task, batch) of what a strategy chose by another version's predictions.

    Or before another program's scores came (``scored_at``), where there is no version.
    """
    return {
        (row.task_id, row.batch)
        for row in rows
        if row.arm == QueueArm.STRATEGY
        and (row.version_id != version_id or row.drawn_at < scored_at)
        and row.strategy != BEGUN
    }


def _chosen_blind(rows: Sequence[QueueEntryRow], strategy: str) -> set[tuple[int, int]]:
    """(task, batch) of what another strategy chose while the embeddings were made.

    Once the strategy itself has drawn, what is left of the other one stays.
    """
    chosen = [r for r in rows if r.arm == QueueArm.STRATEGY and r.strategy != BEGUN]
    if not needs_embeddings(strategy) or any(row.strategy == strategy for row in chosen):
        return set()
    return {(row.task_id, row.batch) for row in chosen}


def _asked(
    entries: Sequence[Entry],
    stale: Collection[tuple[int, int]],
    begun: Collection[int],
    early: Collection[tuple[int, int]],
) -> list[Entry]:
    """The entries, replaceable where a strategy chose by an older version and nobody has begun."""
    control = {entry.task_id for entry in entries if entry.arm == QueueArm.CONTROL}
    return [
        replace(
            entry,
            is_replaceable=(entry.task_id, entry.batch) in stale
            and entry.task_id not in begun
            and entry.task_id not in control,
            is_early=(entry.task_id, entry.batch) in early,
        )
        for entry in entries
    ]


def _write(
    context: AppContext, project_id: int, opened: QueuePool, changes: _Changes, scored_at: float
) -> None:
    n_drawn = n_withdrawn = 0
    with context.store.begin() as session:
        for change, strategy in changes.plans:
            rows = {_key(entry_of(r)): r for r in queues.open_entries(session, project_id)}
            gone = [rows[_key(entry)] for entry in change.withdrawn if _key(entry) in rows]
            queues.leave(gone, QueueExit.WITHDRAWN)
            for entry, annotator_id in change.moved:
                if _key(entry) in rows:
                    rows[_key(entry)].annotator_id = annotator_id
            for entry in change.drawn:
                session.add(_row(project_id, entry, opened, strategy))
            session.flush()
            n_drawn, n_withdrawn = n_drawn + len(change.drawn), n_withdrawn + len(gone)
        # What nobody wants to replace any more was chosen by this version as well.
        for row in queues.open_entries(session, project_id):
            if row.arm == QueueArm.STRATEGY:
                row.version_id = opened.version_id
                if row.drawn_at < scored_at:  # by these scores, then
                    row.drawn_at = clock.now()
    if n_drawn or n_withdrawn:
        logger.info(
            "Project %d: %s drawn for queues by %s, %d taken back.",
            project_id,
            counted(n_drawn, "task"),
            opened.strategy,
            n_withdrawn,
        )


def _key(entry: Entry) -> tuple[int, QueueArm, int]:
    return entry.task_id, entry.arm, entry.batch


def _row(project_id: int, entry: Entry, opened: QueuePool, strategy: str) -> QueueEntryRow:
    return QueueEntryRow(
        project_id=project_id,
        annotator_id=entry.annotator_id,
        task_id=entry.task_id,
        source=opened.sources[entry.task_id],
        batch=entry.batch,
        arm=entry.arm,
        version_id=opened.version_id,
        strategy=CHANCE if entry.arm == QueueArm.CONTROL else strategy,
        exit=QueueExit.NONE,
    )
