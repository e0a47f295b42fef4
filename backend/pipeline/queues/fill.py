"""Fills the queues of a project and brings its tabs to them."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from filelock import FileLock

from active_learning.strategies import Pool
from backend.pipeline.basis.context import AppContext
from backend.pipeline.queues import batches
from backend.pipeline.queues.annotators import STARTER, Annotators, annotators_of
from backend.pipeline.queues.batches import Entry, Plan, Rules, Seat
from backend.pipeline.queues.pool import QueuePool, open_pool
from backend.pipeline.queues.tabs import bring_tabs
from backend.settings import ProjectSettings
from backend.store import projects, queues
from backend.store.projects import Fault
from backend.store.queues import QueueEntryRow
from domain.errors import LabelStudioError
from domain.queues import QueueArm, QueueExit
from domain.text import counted

logger = logging.getLogger(__name__)

STAGE = "queues"
"""Of the problems that say why queues are not what they should be."""

LOCKS = "locks"
"""Folder of the files that are locked by who fills a project's queues. The project's own folder may
be moved aside meanwhile."""

HOLD_S = 4 * 3600.0
"""A page of Label Studio keeps the list that its tab had when it was opened: a task that left a
queue may be labelled there for as long, and goes to nobody else."""

LEND_AFTER_S = 3600.0
"""Who has labelled nothing for so long does not keep the last tasks from those who wait."""

HISTORY_S = 30 * 24 * 3600.0
"""What the strategy chose and took back is kept so long, to look back at."""

BEGUN = "begun"
"""In the place of a strategy's name: a person has begun the task without being given it."""


@dataclass(frozen=True, slots=True)
class _Found:
    """What Label Studio says of a project's people, and who has begun which task."""

    annotators: Annotators
    last_labelled: dict[int, float]
    drafts: frozenset[int]
    now: float

    @property
    def ids(self) -> list[int]:
        return [annotator.id for annotator in self.annotators.found]

    def seats(self, length: int) -> list[Seat]:
        return [
            Seat(one.id, min(STARTER, length) if one.is_starter else length)
            for one in self.annotators.found
        ]


def try_fill(context: AppContext, project_id: int) -> None:
    """``fill_queues``; a refusal becomes a problem of the project.

    It is tried again after the next reading.
    """
    try:
        fill_queues(context, project_id)
    except LabelStudioError as error:
        logger.warning("Project %d: its queues could not be filled: %s", project_id, error)
        with context.store.begin() as session:
            fault = Fault("label_studio", f"The queues could not be filled: {error}", error.remedy)
            projects.set_faults(session, project_id, STAGE, [fault])


def fill_queues(context: AppContext, project_id: int) -> None:
    """Brings the queues of a project up to date: who labels, what is left, what is new.

    Idempotent: where nothing has changed, nothing is written and nothing is sent. Does nothing for
    a project that stands still.

    Raises:
        LabelStudioError: Label Studio refused, or does not answer; what was drawn is kept, and the
            tabs follow the next time.
        NotConnectedError: nnloop does not know the project.
    """
    locks = context.settings.data_dir / LOCKS
    locks.mkdir(parents=True, exist_ok=True)
    # Two at once would draw one task for two people.
    with FileLock(locks / f"queues-{project_id}.lock"):
        with context.store.begin() as session:
            if project_id in projects.halted(session):
                return
            settings = projects.get(session, project_id).settings
            queues.settle(session, project_id)
            queues.prune(session, project_id, time.time() - HISTORY_S)
        found = _look(context, project_id, settings)
        _draw(context, project_id, settings, found)
        with context.store.read() as session:
            entries = queues.open_entries(session, project_id)
        tasks = batches.tasks_of(map(_entry, entries))
        bring_tabs(context, project_id, found.annotators.found, tasks)
        with context.store.begin() as session:
            projects.set_faults(session, project_id, STAGE, _faults(project_id, found))


def _look(context: AppContext, project_id: int, settings: ProjectSettings) -> _Found:
    client = context.label_studio
    users = client.list_users()
    own_id = client.whoami().id
    drafts = client.drafted_tasks(project_id)
    now = time.time()
    with context.store.read() as session:
        last = queues.last_labelled(session, project_id)
    annotators = annotators_of(users, own_id, last, settings.annotators, now)
    return _Found(annotators, last, frozenset(drafts), now)


def _faults(project_id: int, found: _Found) -> list[Fault]:
    unknown = found.annotators.unknown
    if not unknown:
        return []
    return [
        Fault(
            "annotator_unknown",
            f"The setting annotators names {unknown[0]!r}, who is nobody, or not one alone, in "
            f"Label Studio{'' if len(unknown) == 1 else f', and {len(unknown) - 1} more'}.",
            f"Name people by their e-mail address: nnloop connect {project_id} --annotator ADDRESS",
        )
    ]


def _draw(context: AppContext, project_id: int, settings: ProjectSettings, found: _Found) -> None:
    """Settles what leaves the queues and what comes, and writes it."""
    with context.store.read() as session:
        rows = queues.open_entries(session, project_id)
        newest = queues.newest_batch(session, project_id)
        away = queues.withdrawn_since(session, project_id, found.now - HOLD_S)
    opened = open_pool(context, project_id, settings)
    entries = [_entry(row) for row in rows]
    changes: list[tuple[Plan, str]] = []

    def change(one: Plan, strategy: str = "") -> None:
        nonlocal entries
        changes.append((one, strategy))
        entries = batches.after(entries, one)

    change(batches.passed_on(entries, found.ids, found.ids))
    change(_begun_elsewhere(context, opened.pool, entries, found, newest), BEGUN)
    begun = batches.begun(entries, opened.scores) | found.drafts
    seats = found.seats(settings.queue_length)
    change(batches.shortened(entries, seats, begun))
    rules = Rules(
        choose=opened.choose,
        control_share=settings.control_share if opened.version_id is not None else 0.0,
        # Who never labelled here has no page open with it.
        reserved={task_id: a for task_id, a in away.items() if a in found.last_labelled},
        closed=found.drafts - {entry.task_id for entry in entries},
    )
    rng = np.random.default_rng([settings.seed, project_id, newest, len(rows)])
    stale = _stale(rows, opened)
    asked = [_asked(entry, stale, begun, entries) for entry in entries]
    change(batches.plan(opened.pool, asked, seats, rules, newest, rng), opened.strategy)
    change(_lent(entries, found, begun))
    _write(context, project_id, opened, changes)


def _begun_elsewhere(
    context: AppContext, pool: Pool, entries: Sequence[Entry], found: _Found, batch: int
) -> Plan:
    """Tasks that annotators have begun outside of their queues come into them."""
    in_queues = {entry.task_id for entry in entries}
    outside = (found.drafts & {int(i) for i in pool.task_ids}) - in_queues
    drawn = []
    for task_id in sorted(outside):
        owners = context.label_studio.draft_owners(task_id)
        owner = next((one for one in found.ids if one in owners), None)
        if owner is not None:
            drawn.append(Entry(task_id, owner, batch, QueueArm.STRATEGY))
    return Plan(drawn=tuple(drawn))


def _stale(rows: Sequence[QueueEntryRow], opened: QueuePool) -> set[tuple[int, int]]:
    """(task, batch) of what a strategy chose by another version's scores."""
    return {
        (row.task_id, row.batch)
        for row in rows
        if row.version_id != opened.version_id and row.strategy != BEGUN
    }


def _asked(
    entry: Entry, stale: set[tuple[int, int]], begun: set[int], entries: Sequence[Entry]
) -> Entry:
    """The entry, replaceable where a strategy chose it by an older version and nobody began it."""
    is_asked = (
        entry.arm == QueueArm.STRATEGY
        and (entry.task_id, entry.batch) in stale
        and entry.task_id not in begun
        and not any(e.task_id == entry.task_id and e.arm == QueueArm.CONTROL for e in entries)
    )
    return Entry(entry.task_id, entry.annotator_id, entry.batch, entry.arm, is_asked)


def _lent(entries: Sequence[Entry], found: _Found, begun: set[int]) -> Plan:
    held = batches.tasks_of(entries)
    recent = {a for a, last in found.last_labelled.items() if found.now - last < LEND_AFTER_S}
    waiting = [a for a in found.ids if a in recent and not held.get(a)]
    return batches.lent(entries, {a for a in found.ids if a not in recent}, waiting, begun)


def _entry(row: QueueEntryRow) -> Entry:
    return Entry(row.task_id, row.annotator_id, row.batch, QueueArm(row.arm))


def _write(
    context: AppContext,
    project_id: int,
    opened: QueuePool,
    changes: Sequence[tuple[Plan, str]],
) -> None:
    if all(change.is_empty for change, _ in changes):
        return
    n_drawn = n_withdrawn = 0
    with context.store.begin() as session:
        for change, strategy in changes:
            rows = {_key(_entry(r)): r for r in queues.open_entries(session, project_id)}
            gone = [rows[_key(entry)] for entry in change.withdrawn if _key(entry) in rows]
            queues.leave(gone, QueueExit.WITHDRAWN)
            for entry, annotator_id in change.moved:
                if _key(entry) in rows:
                    rows[_key(entry)].annotator_id = annotator_id
            for entry in change.drawn:
                session.add(_row(project_id, entry, opened, strategy))
            session.flush()
            n_drawn, n_withdrawn = n_drawn + len(change.drawn), n_withdrawn + len(gone)
    logger.info(
        "Project %d: %s drawn by %s, %d taken back.",
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
        strategy="random" if entry.arm == QueueArm.CONTROL else strategy,
        exit=QueueExit.NONE,
    )
