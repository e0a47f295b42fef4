"""Sends predictions and looks which of them Label Studio keeps; nothing else of the project."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from backend.pipeline.basis.context import AppContext
from backend.pipeline.predictions.held import held_by_label_studio, rows_to_push
from backend.store import projects
from backend.store.models import PredictionRow, VersionRow
from backend.store.tasks import predictions, readings

ONE_BY_ONE = 50
"""So many predictions at most are stored one by one, where that is less work."""

TASKS_PER_CALL = 100
"""An import has Label Studio count all predictions of a project anew, whatever it brings: 0.48 s
for 1,000 tasks, where to store one prediction takes 0.03 to 0.08 s."""


def push_batch(
    context: AppContext, project_id: int, version: VersionRow, batch: Sequence[PredictionRow]
) -> tuple[set[int], int]:
    """Brings a batch of a version's predictions to Label Studio, and marks what it then holds.

    What it holds already, of a push that was cut off, or since it stored an answer by itself, is
    not sent again.

    Returns:
        The tasks whose prediction Label Studio took now, and how many it did not keep.

    Raises:
        LabelStudioError: Label Studio refused, or does not answer.
    """
    client = context.label_studio
    ids = [row.task_id for row in batch]
    there = client.tasks_with_prediction(project_id, version.name, ids)
    held = held_by_label_studio(context, project_id, version, sorted(there))
    rest = [row for row in batch if row.task_id not in held]
    sent, kept = _send(context, project_id, version, rest) if rest else (set(), set())
    n_dropped = _tell_dropped(context, project_id, version, rest, sent - kept)
    with context.store.begin() as session:
        predictions.mark_published(session, version.id, held | kept)
    return sent & kept, n_dropped


def _send(
    context: AppContext, project_id: int, version: VersionRow, batch: Sequence[PredictionRow]
) -> tuple[set[int], set[int]]:
    """Sends what of a batch may go out; the tasks of what was sent, and of what was kept."""
    client = context.label_studio
    rows = rows_to_push(context, project_id, batch, version.name)
    sent = {row.task_id for row in rows}
    with context.store.read() as session:
        n_tasks = readings.counts(session, project_id)[0]
    if len(rows) <= min(ONE_BY_ONE, n_tasks / TASKS_PER_CALL):
        return sent, {row.task_id for row in rows if client.store_prediction(row) is not None}
    n_before = client.count_predictions_of(project_id, sent)
    n_created = client.import_predictions(project_id, rows)
    n_more = client.count_predictions_of(project_id, sent) - n_before
    if n_created == n_more == len(sent):
        return sent, sent  # of each task one more is there
    return sent, held_by_label_studio(context, project_id, version, sorted(sent))


def _tell_dropped(
    context: AppContext,
    project_id: int,
    version: VersionRow,
    batch: Sequence[PredictionRow],
    dropped: Collection[int],
) -> int:
    """Notes the predictions that Label Studio did not keep, by their tasks; how many."""
    missing = [row for row in batch if row.task_id in dropped]
    with context.store.begin() as session:
        for row in missing:
            # Not tried again: the same body would be dropped again.
            predictions.mark_dropped(session, row.id)
            projects.report_problem(
                session,
                project_id,
                "publish",
                projects.Fault(
                    "prediction_dropped",
                    f"Task {row.task_id}: Label Studio did not keep the prediction of "
                    f"{version.name}.",
                ),
                task_id=row.task_id,
            )
    return len(missing)
