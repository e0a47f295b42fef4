"""Reads the truth from Label Studio into snapshots, then decides what follows from it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from backend.label_studio import ProjectInfo
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.faults import sentence_of
from backend.pipeline.basis.images import image_keys_of
from backend.pipeline.labels import questions
from backend.pipeline.quality.calibrate import recalibrate
from backend.pipeline.quality.corrections import measure_corrections
from backend.pipeline.quality.submissions import measure_submissions
from backend.pipeline.sync import marks, trigger
from backend.pipeline.sync.decisions import LENGTH, keep_decisions
from backend.pipeline.sync.drift import (
    check_connection,
    go_on,
    halt,
    key_refused,
    require_same,
    require_staying,
)
from backend.pipeline.sync.taking import PORTION, Taken, Taker
from backend.queue import JobName
from backend.store import clock, projects
from backend.store.models import RunRow
from backend.store.tasks import predictions, problems, readings, snapshots
from backend.store.training import versions
from domain.errors import (
    LabelStudioAuthError,
    LabelStudioError,
    MissingError,
    ProjectGoneError,
    SettingsError,
)
from domain.states import TaskState
from domain.text import one_line

logger = logging.getLogger(__name__)

CHECK_S = 300.0
"""So often backend, webhook and predictions are looked at where nothing hints at a change of them:
Label Studio then asks the backend twice, which takes it longer than an idle reading."""

_Due = tuple[int | None, bool, str]
"""Id of the run that was created, whether tasks wait for a score, and the decision in words."""


def sync_project(
    context: AppContext, project_id: int, *, wholly: bool = False
) -> snapshots.SyncCounts:
    """Reads what has changed of a project; then starts what has become due.

    All of it is read where that is not enough (``marks.why_all``), or ``wholly`` asks for it. Hints
    that arrived before the reading began are closed by it. When Label Studio does not answer,
    nothing is lost: the hints stay open and the next tick tries again.

    Raises:
        LabelStudioError, NotConnectedError, SettingsError: As ``read_project``.
    """
    with context.store.begin() as session:
        config = projects.get(session, project_id).label_config
        newest_hint = projects.newest_hint_id(session, project_id)
        request = projects.training_request(session, project_id)
    try:
        is_check_due = wholly or _is_check_due(context, project_id, newest_hint)
        counts, info, taken = _read(context, project_id, newest_hint, wholly=wholly)
    except ProjectGoneError as error:
        with context.store.begin() as session:
            # Nothing of it can be done later either; the clock looks whether it is there again.
            said = one_line(f"ignored: {error}", LENGTH)
            projects.close_hints(session, project_id, newest_hint, said)
        raise
    # What the settings name may not be in another interface.
    is_check_due = is_check_due or info.label_config != config
    _check(context, project_id, info, is_due=is_check_due)
    measure_submissions(context, project_id)
    measure_corrections(context, project_id)
    # Also where nothing was measured: who measured before may have died right after.
    recalibrate(context, project_id)
    with context.store.begin() as session:
        # With the hints in one transaction: a person's request is one of them.
        due = _start_due(session, project_id, request)
        keep_decisions(
            session,
            project_id,
            newest_hint,
            changed=taken.changed_tasks,
            n_changed=taken.n_changed,
            outcome=due[2],
        )
    _enqueue(context, project_id, due)
    return counts


def read_project(context: AppContext, project_id: int) -> snapshots.SyncCounts:
    """Reads all tasks and annotations of a project, and starts nothing.

    Raises:
        LabelStudioError: Label Studio does not answer; the project's status says so too.
        NotConnectedError: nnloop does not know the project.
        ProjectGoneError: Label Studio has it no more; nothing is done for it from then on.
        SettingsError: Label Studio's address or key is not set.
    """
    return _read(context, project_id, 0, wholly=True)[0]


def _read(
    context: AppContext, project_id: int, newest_hint: int, *, wholly: bool
) -> tuple[snapshots.SyncCounts, ProjectInfo, Taken]:
    try:
        info, image_keys = _find(context, project_id)
        reader = _Reader(context, info, image_keys)
        reader.read(newest_hint, wholly=wholly)
    except ProjectGoneError as error:
        with context.store.begin() as session:
            projects.get(session, project_id).error = ""
            readings.doubt(session, project_id, "it was not there")
            halt(session, project_id, error)
        raise
    except LabelStudioAuthError as error:
        with context.store.begin() as session:
            projects.get(session, project_id).error = ""
            readings.doubt(session, project_id, readings.UNANSWERED)
            key_refused(session, project_id, error)
        raise
    except LabelStudioError as error:
        with context.store.begin() as session:
            projects.get(session, project_id).error = sentence_of(error)
            readings.doubt(session, project_id, readings.UNANSWERED)
        raise
    with context.store.begin() as session:
        projects.lock(session, project_id)
        row = projects.get(session, project_id)
        reader.keep(session)
        problems.close_settled(session, project_id)
        row.title = info.title
        questions.take_config(session, row, info.label_config, changed=reader.taken.n_changed)
        row.created_at = info.created_at or row.created_at
        row.synced_at = clock.now()
        go_on(session, project_id)
        row.error = ""
        counts = snapshots.counts(session, project_id)
    read = snapshots.SyncCounts(
        tasks=sum(counts.values()),
        labelled=counts[TaskState.LABELLED],
        skipped=counts[TaskState.SKIPPED],
        changed=reader.taken.n_changed,
    )
    return read, info, reader.taken


class _Reader:
    """One reading of a project: what has changed, or all where that would not be enough."""

    def __init__(
        self, context: AppContext, info: ProjectInfo, image_keys: tuple[str, ...] | None
    ) -> None:
        self._context, self._info, self._image_keys = context, info, image_keys
        self._project_id = info.id
        self._began_at = clock.now()
        self._turned_to: int | None = None
        self._is_all = False
        self._more = (0, 0, 0)
        with context.store.read() as session:
            row = readings.find(session, info.id)
            project = projects.get(session, info.id)
            self._why = marks.why_all(row, project, info, image_keys, self._began_at)
            self._since = row.read_to if row is not None else ""
            self._after_id = row.turned_to if row is not None else 0
            self._is_turn_due = row is not None and self._is_due(session, row)
            if row is not None:
                self._more = (row.more_tasks, row.more_submitted, row.more_skipped)
        self._taker = Taker(context, info.id, image_keys, self._since)

    @property
    def taken(self) -> Taken:
        """What was read so far."""
        return self._taker.taken

    def read(self, newest_hint: int, *, wholly: bool) -> None:
        """Reads; ``keep`` then has to be called."""
        if wholly or self._why:
            self._read_all("a person asked for it" if wholly else self._why)
        else:
            self._taker.take_changed()
            with self._context.store.read() as session:
                told = projects.hinted_tasks(session, self._project_id, newest_hint)
            self._taker.take_told(told)
            if self._is_turn_due:
                self._turned_to = self._taker.take_turn(self._after_id)
        if self._adds_up():
            return
        if not self._is_all:
            self._read_all("Label Studio counts other tasks or annotations")
            if self._adds_up():
                return
        self._more = self._difference()
        logger.warning(
            "Project %d: Label Studio counts %d more tasks, %d more annotations and %d more skips "
            "than it shows. What changes is seen by the difference from now on.",
            self._project_id,
            *self._more,
        )

    def keep(self, session: Session) -> None:
        """Notes in a transaction how far was read; not before nothing more can fail."""
        row = readings.began(session, self._project_id)
        now = clock.now()
        if self._is_all:
            row.read_all_at, row.doubt = now, ""
            row.read_to, row.seen_to = self._since, ""
            row.turned_to, row.turned_at = 0, now
            row.image_keys = marks.keys_text(self._image_keys)
        elif self._turned_to is not None:
            row.turned_to, row.turned_at = self._turned_to, now
        if self.taken.n_hidden:
            readings.doubt(session, self._project_id, "something changed that no time tells of")
        newest = marks.capped(self.taken.newest, self._info, self._began_at)
        if not self._is_all and marks.is_later(row.read_to, self._since):
            # Another reading has gone further meanwhile: this one's worker stood still, say, and
            # may have written last what it had read first. What has changed is asked for again.
            row.read_to, row.seen_to = self._since, ""
        marks.advance(row, newest, self._began_at, now)
        row.clock_ahead_s = marks.clock_ahead(self._info, self._began_at)
        row.more_tasks, row.more_submitted, row.more_skipped = self._more

    def _read_all(self, why: str) -> None:
        logger.info("Project %d: all of it is read, for %s.", self._project_id, why)
        client = self._context.label_studio
        # Before the first page: what is changed on a page that was read already is newer.
        newest = client.newest_change(self._project_id)
        newest = marks.capped(newest, self._info, self._began_at)
        self._since = self._taker.since = marks.earlier(newest, marks.OVERLAP_S)
        self._taker.take_all()
        self.taken.n_hidden = 0
        self._is_all = True

    def _adds_up(self) -> bool:
        """Whether Label Studio counts what was read; deleted tasks are looked for where not."""
        wanted = (0, 0, 0) if self._is_all else self._more
        for is_again in (False, True):
            if self._difference() == wanted:
                self._more = wanted
                return True
            if not is_again:
                # Most often somebody has worked meanwhile.
                self._info = self._context.label_studio.project(self._project_id)
                self._taker.take_changed()
        if self._difference()[0] < wanted[0] and not self._taker.take_deletions():
            return False
        if self._difference() == wanted:
            self._more = wanted
            return True
        return False

    def _difference(self) -> tuple[int, int, int]:
        """How many more tasks, submitted annotations and skips Label Studio counts."""
        info = self._info
        with self._context.store.read() as session:
            tasks, submitted, skipped = readings.counts(session, self._project_id)
        return (
            info.task_number - tasks,
            info.n_submitted - submitted,
            info.n_skipped - skipped,
        )

    def _is_due(self, session: Session, row: readings.ReadingRow) -> bool:
        """Whether the next tasks are to be read once more: all of them in ``reread_s``."""
        n_tasks = max(readings.counts(session, self._project_id)[0], PORTION)
        pause_s = self._context.settings.reread_s * PORTION / n_tasks
        return not 0.0 <= self._began_at - row.turned_at < pause_s


def _find(context: AppContext, project_id: int) -> tuple[ProjectInfo, tuple[str, ...] | None]:
    """The project as Label Studio has it, if it is still the same; its image fields."""
    with context.store.read() as session:
        require_staying(session, project_id)
    try:
        info = context.label_studio.project(project_id)
    except MissingError:
        info = None
    with context.store.read() as session:
        row = projects.get(session, project_id)
        require_same(row, info)
        assert info is not None  # noqa: S101 - require_same raised
        return info, image_keys_of(info.label_config, row.settings)


def _is_check_due(context: AppContext, project_id: int, newest_hint: int) -> bool:
    """Whether the connection is to be looked at: from time to time, and where it may be another.

    While something is wrong with it, at each reading: who mends it sees at once that it is mended.
    """
    with context.store.read() as session:
        row = readings.find(session, project_id)
        if row is None or row.doubt or not clock.is_recent(row.checked_at, CHECK_S):
            return True
        is_wrong = projects.has_open_problem(session, project_id, projects.CONNECTION)
        return is_wrong or projects.is_project_hinted(session, project_id, newest_hint)


def _check(context: AppContext, project_id: int, info: ProjectInfo, *, is_due: bool) -> None:
    """Looks at the connection if that is due, or if the project itself says something else of it.

    Somebody may have chosen another version or order, or deleted predictions.
    """
    said = f"{info.model_version}\n{info.sampling}\n{info.total_predictions_number}"
    with context.store.read() as session:
        row = readings.find(session, project_id)
        if not is_due and row is not None and row.checked_as == said:
            return
    try:
        check_connection(context, project_id, info)
        with context.store.begin() as session:
            row = readings.began(session, project_id)
            row.checked_at, row.checked_as = clock.now(), said
    except LabelStudioError as error:
        # The reading is done, and what follows from it must not wait for this.
        logger.warning("Project %d: its connection could not be checked: %s", project_id, error)


def follow_up(context: AppContext, project_id: int) -> None:
    """Starts a run when enough has changed, and scores what is unscored."""
    with context.store.begin() as session:
        due = _start_due(session, project_id)
    _enqueue(context, project_id, due)


def _start_due(session: Session, project_id: int, request: Mapping[str, Any] | None = None) -> _Due:
    """Creates the run that is due, or that a person asked for with settings of its own."""
    if project_id in projects.halted(session):
        return None, False, "nothing is done for the project now (nnloop status says why)"
    if request is not None:
        run, said = _start_requested(session, project_id, request)
    else:
        run, said = trigger.start_if_due(session, project_id)
    version = versions.champion(session, project_id)
    is_unscored = version is not None and bool(
        predictions.unscored_tasks(session, project_id, version.id, limit=1)
    )
    return run.id if run else None, is_unscored, said


def _start_requested(
    session: Session, project_id: int, request: Mapping[str, Any]
) -> tuple[RunRow | None, str]:
    """The run a person asked for; where it can't be started, a problem says why, and the text."""
    try:
        run = trigger.start(session, project_id, "requested by a person", request)
    except SettingsError as error:
        run, why = None, error.in_full
    else:
        why = "another run had begun by then. Ask again when it is over."
    if run is None:
        message = f"The training that was asked for was not started: {why}"
        logger.warning("Project %d: %s", project_id, message)
        projects.report_problem(
            session,
            project_id,
            "run",
            projects.Fault("request_dropped", message),
        )
        return None, message
    return run, trigger.starts(run)


def _enqueue(context: AppContext, project_id: int, due: _Due) -> None:
    run_id, is_unscored, _ = due
    if run_id is not None:
        logger.info("Project %d: training run %d starts.", project_id, run_id)
        context.queue.ensure(JobName.ADVANCE, run_id)
    if is_unscored:
        context.queue.ensure(JobName.SCORE, project_id, 0)
