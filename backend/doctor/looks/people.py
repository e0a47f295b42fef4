"""What annotators see and do: their tabs, who labels in whose, and whether it is read."""

from __future__ import annotations

import time
from collections import Counter

from sqlalchemy import func, select

from backend.doctor.check import Check, Finding, NotLookedError, fine, note, wrong
from backend.doctor.patient import Patient
from backend.pipeline.labels import questions
from backend.pipeline.queues.fill import fill_queues
from backend.pipeline.queues.report import tab_reports
from backend.pipeline.sync.drift import faults_of
from backend.store import projects
from backend.store.models import AnnotationRow, InboxRow
from backend.store.projects import CONNECTION, RUN_FAILED
from backend.store.tasks import queues, snapshots
from backend.store.tasks.queues import QueueEntryRow
from domain.queues import QueueExit
from domain.states import TaskState
from domain.text import counted

LOOK_BACK_S = 14 * 86_400.0
"""Labels of this time tell who works in whose tab."""

STRANGERS = 3
"""From so many labels of one person in another's tab on it is no slip."""

OVER_DAYS = 2.0
"""After so many days without another one they are something to know, and not wrong any more."""

_UNREAD_S = 60.0

_HOLDING = (questions.RENAME, questions.RENAME_OF_VERSION)
"""Until they are answered trainings wait or predictions are held."""


def tabs(patient: Patient) -> Finding:
    """Whether every annotator's tab is in Label Studio, with tasks in it."""
    project_id = patient.asked_project

    def fill() -> str:
        fill_queues(patient.context, project_id)
        return "Filled the queues, and brought the tabs to them."

    with patient.store.read() as session:
        rows = queues.tabs(session, project_id)
        unlabelled = snapshots.counts(session, project_id)[TaskState.UNLABELLED]
    connect = f"nnloop connect {project_id}"
    if not rows:
        return wrong("No annotator has a tab.", connect, fill)
    there = {tab.id for tab in patient.client.list_tabs(project_id)}
    gone = [row for row in rows if row.view_id not in there]
    if gone:
        ids = ", ".join(str(row.annotator_id) for row in gone)
        return wrong(
            f"{counted(len(gone), 'tab')} of {len(rows)} (of user {ids}) "
            f"{'was' if len(gone) == 1 else 'were'} deleted in Label Studio.",
            connect,
            fill,
        )
    found = tab_reports(patient.context, project_id)
    empty = [one for one in found if not one.left]
    if empty and unlabelled:
        ids = ", ".join(str(one.annotator_id) for one in empty)
        answer = f"{counted(len(empty), 'tab')} of {len(rows)} (of user {ids}) without a task"
        if len(empty) == len(rows):
            return wrong(f"{answer}, and {unlabelled:,} tasks are unlabelled.", connect, fill)
        return note(f"{answer}; {unlabelled:,} tasks are unlabelled.", connect)
    left = sum(one.left for one in found)
    return fine(f"{counted(len(rows), 'tab')}, {counted(left, 'task')} in them")


def two_in_one_tab(patient: Patient) -> Finding:
    """Whether people label in tabs that are others': Label Studio gives both the same task."""
    since = time.time() - LOOK_BACK_S
    query = (
        select(
            QueueEntryRow.annotator_id,
            AnnotationRow.completed_by,
            func.count(),
            func.max(QueueEntryRow.left_at),
        )
        .join(
            AnnotationRow,
            (AnnotationRow.task_id == QueueEntryRow.task_id)
            & (AnnotationRow.project_id == QueueEntryRow.project_id),
        )
        .where(
            QueueEntryRow.project_id == patient.asked_project,
            QueueEntryRow.exit == QueueExit.LABELLED,
            QueueEntryRow.left_at >= since,
            AnnotationRow.removed_at.is_(None),
            AnnotationRow.completed_by.is_not(None),
        )
        .group_by(QueueEntryRow.annotator_id, AnnotationRow.completed_by)
    )
    strangers: Counter[tuple[int, int]] = Counter()
    n_labels, newest = 0, 0.0
    with patient.store.read() as session:
        has_tab = {row.annotator_id for row in queues.tabs(session, patient.asked_project)}
        for owner, author, n, last in session.execute(query):
            n_labels += n
            # Who has no tab of their own reviews, or imports: no annotator in another's tab.
            if author != owner and author in has_tab:
                strangers[author, owner] += n
                newest = max(newest, (last or 0.0) if n >= STRANGERS else 0.0)
    bad = [(who, n) for who, n in strangers.most_common() if n >= STRANGERS]
    if bad:
        said = ", ".join(
            f"user {author} has labelled {n} tasks of user {owner}'s tab"
            for (author, owner), n in bad[:5]
        )
        days = (time.time() - newest) / 86_400
        # What has been talked about is not wrong for another fortnight.
        is_over = days > OVER_DAYS
        ago = f", the last {days:.0f} days ago" if is_over else ""
        return (note if is_over else wrong)(
            f"{said[0].upper()}{said[1:]} in the last 14 days{ago}: two in one tab, or in 'Label "
            "All Tasks', get the same task.",
            "Each in their own tab, by 'Label Tasks As Displayed'. Its address is printed by: "
            f"nnloop connect {patient.asked_project}",
        )
    if not n_labels:
        return fine("nobody has labelled from a tab in the last 14 days")
    return fine(f"{counted(n_labels, 'label')} of the last 14 days, each in its author's tab")


def labels(patient: Patient) -> list[Finding]:
    """Whether the labels are those that the serving version knows, and nothing is asked of them."""
    with patient.store.read() as session:
        row = patient.row(session)
        # While one of these is open, drift says nothing of labels.
        asked = [
            (wrong if one.reason in _HOLDING else note)(one.message, one.remedy)
            for one in projects.open_problems(session, patient.asked_project)
            if one.stage == questions.STAGE and one.reason in questions.QUESTIONS
        ]
        found = faults_of(session, row, patient.project_info, patient.held, patient.settings)
    asked += [note(fault.message, fault.remedy) for fault in found if fault.reason == "labels"]
    return asked or [fine("as they were trained")]


def read(patient: Patient) -> Finding:
    """Whether what people do is read."""
    project_id, interval = patient.asked_project, patient.settings.sync_interval_s
    with patient.store.read() as session:
        row = patient.row(session)
        waiting = session.scalar(
            select(func.min(InboxRow.received_at)).where(
                InboxRow.project_id == project_id, InboxRow.handled_at.is_(None)
            )
        )
    if row.error and "label_studio" not in patient.there:
        raise NotLookedError("Label Studio does not answer, so nothing is read")
    if row.error:
        return wrong(f"The last reading failed: {row.error}", "See the check 'label_studio'")
    if row.synced_at is None:
        return wrong("It was never read.", "Start nnloop (nnloop up), or see: nnloop jobs")
    age = time.time() - row.synced_at
    see = "See that a worker with the role loop runs (nnloop status), and what failed: nnloop jobs"
    if age > 3 * interval + _UNREAD_S:
        return wrong(f"It was read {age / 60:.0f} min ago, and is to be every {interval:g} s.", see)
    if waiting is not None and time.time() - waiting > interval + _UNREAD_S:
        late = (time.time() - waiting) / 60
        return wrong(f"A webhook that came {late:.0f} min ago has not been followed yet.", see)
    return fine(f"read {max(age, 0.0):.0f} s ago")


def problems(patient: Patient) -> list[Finding]:
    """What nnloop itself has noted about the project."""
    with patient.store.read() as session:
        rows = projects.open_problems(session, patient.asked_project)
    more = f"nnloop status {patient.asked_project} --problems"
    found = [wrong(row.message, row.remedy or more) for row in rows if row.reason == RUN_FAILED][:1]
    # Those of the connection have checks of their own, made at this moment.
    rest = [row for row in rows if row.reason != RUN_FAILED and row.stage != CONNECTION]
    if rest:
        of_tasks = sum(row.task_id is not None for row in rest)
        said = f", {of_tasks} of them of single tasks" if of_tasks else ""
        found.append(note(f"{counted(len(rest), 'open problem')}{said}.", more))
    return found or [fine("none")]


CHECKS = (
    Check(
        "labels",
        "Are the labels those that were trained?",
        labels,
        ("project", "connected", "held"),
    ),
    Check("tabs", "Has every annotator a tab with tasks?", tabs, ("project", "connected")),
    Check("one_per_tab", "Does each label in their own tab?", two_in_one_tab, ("connected",)),
    Check("read", "Is what people do read?", read, ("connected",)),
    Check("problems", "Has nnloop noted problems?", problems, ("connected",)),
)
