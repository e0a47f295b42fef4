"""What a person asks for by hand: a training, a scoring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.pipeline import control
from backend.pipeline.context import AppContext
from backend.pipeline.preset import check_choices
from backend.pipeline.run_settings import run_settings
from backend.queue import JobName
from backend.store import predictions, projects, runs, versions


def request_training(
    context: AppContext, project_id: int, overrides: Mapping[str, Any] | None = None
) -> str:
    """Asks for a run on what Label Studio holds now; returns a sentence for the person.

    The request is a hint in the inbox: it outlives a restart of anything.

    Args:
        context: The process's context.
        project_id: A connected project.
        overrides: Fields of RunSettings, as JSON values, for this run alone.

    Raises:
        SettingsError: An override can't be used.
    """
    with context.store.begin() as session:
        settings = run_settings(projects.get(session, project_id), overrides or {})
        check_choices(settings, context.workspace(project_id))
        active = runs.active_run(session, project_id)
        if active is not None:
            return f"{control.sentence_of(active)} One run at a time."
        projects.add_hint(session, project_id, projects.START_TRAINING, [], overrides)
    context.queue.ensure(JobName.SYNC, project_id)
    return "Training requested; follow it with `nnloop status`."


def request_scoring(context: AppContext, project_id: int) -> str:
    """Asks for the scoring of what the champion has not seen; returns a sentence."""
    with context.store.begin() as session:
        version = versions.champion(session, project_id)
        if version is None:
            return "No version serves yet: the first training has not been promoted."
        is_open = bool(predictions.unscored_tasks(session, project_id, version.id, 1))
    if not is_open:
        return f"{version.name} has scored every unlabelled task."
    context.queue.ensure(JobName.SCORE, project_id, 0)
    return f"Scoring with {version.name} requested; follow it with `nnloop status`."
