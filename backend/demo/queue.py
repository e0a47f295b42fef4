"""The demo's queue: what the annotator was served, and in which order."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

from backend.demo.person import tab_called
from backend.label_studio import LabelStudioClient, ServedTask
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.report import Report
from backend.pipeline.queues.report import TabReport, tab_reports
from backend.store.tasks import queues
from backend.store.tasks.queues import QueueEntryRow
from backend.store.training import versions
from domain.errors import StackError
from domain.queues import QueueArm

TIMEOUT_S = 120.0
"""Far above what it takes until a queue is there, or filled anew."""

POLL_S = 0.5


CHANCE = "chance (control arm)"
"""What drew a task of the control arm."""


class Offer(Report):
    """A task as it was served: its score, and what stands out in its prediction ("" = nothing).

    ``drawn_by`` is what put it into the queue, and ``batch`` the number of that draw; "" and 0 as
    long as nobody has asked (``with_draws``).
    """

    task_id: int
    score: float | None
    why: str
    drawn_by: str = ""
    batch: int = 0


def offer_of(served: ServedTask) -> Offer:
    """What Label Studio shows of a task that it serves."""
    prediction = served.predictions[0] if served.predictions else None
    notes = [
        str(line)
        for region in (prediction.result if prediction else ())
        for line in (region.get("meta") or {}).get("text", ())
    ]
    return Offer(
        task_id=served.task.id,
        score=prediction.score if prediction else None,
        why=" ".join(notes),
    )


def with_draws(context: AppContext, project_id: int, offers: Sequence[Offer]) -> list[Offer]:
    """The offers, each with what drew it, by the store."""
    with context.store.read() as session:
        known = versions.versions_of(session, project_id)
        first_s = min((version.created_at for version in known), default=math.inf)
        rows = queues.history(session, project_id)
        return [
            _drawn(offer, [row for row in rows if row.task_id == offer.task_id], first_s)
            for offer in offers
        ]


def _drawn(offer: Offer, rows: Sequence[QueueEntryRow], first_s: float) -> Offer:
    """A task may have been drawn twice: for both arms."""
    if not rows:
        return offer
    is_control = any(row.arm == QueueArm.CONTROL for row in rows)
    row = rows[-1]
    early = f"{row.strategy}, before there was a model"
    strategy = early if row.drawn_at < first_s else row.strategy
    return offer.model_copy(
        update={"drawn_by": CHANCE if is_control else strategy, "batch": row.batch}
    )


def begins_anew(offers: Sequence[Offer]) -> list[bool]:
    """Of each offer, whether all before it are of earlier batches, and none behind it is."""
    batches = [offer.batch for offer in offers]
    return [k > 0 and max(batches[:k]) < min(batches[k:]) for k in range(len(batches))]


def wait_for_queue(
    context: AppContext, project_id: int, is_ready: Callable[[TabReport], bool]
) -> TabReport:
    """The queue of the key's user, once it is there and as wanted.

    Raises:
        StackError: It was not so in time.
    """
    user = context.label_studio.whoami().id
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        for tab in tab_reports(context, project_id):
            if tab.annotator_id == user and is_ready(tab):
                return tab
        time.sleep(POLL_S)
    raise StackError(
        f"The annotator's queue was not there after {TIMEOUT_S:.0f} s.",
        remedy="`nnloop status` says what the queues wait for.",
    )


def offers_lowest(client: LabelStudioClient, project_id: int, title: str) -> bool:
    """Whether the queue serves the task with the lowest score of those in it next.

    Raises:
        StackError: It serves none, or none in it has a prediction.
    """
    tab = tab_called(client, project_id, title)
    served = None if tab is None else client.next_in_tab(project_id, tab)
    if served is None or tab is None:
        raise StackError("The annotator's queue serves no task.")
    scores = _scores(client, project_id)
    waiting = {task: score for task, score in scores.items() if task in tab.task_ids}
    if not waiting:
        raise StackError("No task of the annotator's queue has a prediction.")
    return scores.get(served.task.id, 2.0) <= min(waiting.values())


def _scores(client: LabelStudioClient, project_id: int) -> Mapping[int, float]:
    """The scores of the unlabelled tasks, as the project's version gave them."""
    version = client.project(project_id).model_version
    labelled = {task.id for task in client.iter_tasks(project_id) if task.annotations}
    return {
        row.task_id: row.score if row.score is not None else 1.0
        for row in client.iter_predictions(project_id, version)
        if row.task_id not in labelled
    }
