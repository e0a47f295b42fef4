"""What a person asks for by hand: a training, a scoring."""

from __future__ import annotations

from backend.pipeline.context import AppContext
from backend.queue import JobName
from backend.store import predictions, projects, runs


def request_training(context: AppContext, project_id: int) -> str:
    """Asks for a run on what Label Studio holds now; returns a sentence for the person.

    The request is a hint in the inbox: it outlives a restart of anything.
    """
    with context.store.begin() as session:
        active = runs.active_run(session, project_id)
        if active is not None:
            return f"Run {active.number} is {active.status} already; one run at a time."
        projects.add_hint(session, project_id, projects.START_TRAINING, [])
    context.queue.ensure(JobName.SYNC, project_id)
    return "Training requested; follow it with `nnloop status`."


def request_scoring(context: AppContext, project_id: int) -> str:
    """Asks for the scoring of what the champion has not seen; returns a sentence."""
    with context.store.begin() as session:
        version = runs.champion(session, project_id)
        if version is None:
            return "No version serves yet: the first training has not been promoted."
        is_open = bool(predictions.unscored_tasks(session, project_id, version.id, 1))
    if not is_open:
        return f"{version.name} has scored every unlabelled task."
    context.queue.ensure(JobName.SCORE, project_id, 0)
    return f"Scoring with {version.name} requested; follow it with `nnloop status`."
