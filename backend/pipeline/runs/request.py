"""What a person asks for by hand: a training, a scoring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.preset import check_choices, remark_of, training_devices
from backend.pipeline.basis.run_settings import run_settings
from backend.pipeline.runs import control
from backend.queue import JobName
from backend.store import pauses, projects
from backend.store.tasks import predictions
from backend.store.training import runs, trials, versions
from domain.errors import PredictionError, StackError, TrainingError


def request_training(
    context: AppContext, project_id: int, overrides: Mapping[str, Any] | None = None
) -> str:
    """Asks for a run on what Label Studio holds now; returns a sentence for the person.

    The request is a hint in the inbox: it outlives a restart of anything, and waits for `nnloop up`
    where nothing runs.

    Args:
        context: The process's context.
        project_id: A connected project.
        overrides: Fields of RunSettings, as JSON values, for this run alone.

    Raises:
        SettingsError: An override can't be used.
        TrainingError: A run is active.
    """
    with context.store.begin() as session:
        settings = run_settings(projects.get(session, project_id), overrides or {})
        check_choices(settings, context.workspace(project_id))
        active = runs.active_run(session, project_id)
        if active is not None:
            raise TrainingError(
                f"No training was requested: {control.sentence_of(active)}",
                remedy="A project has one run at a time: wait for its end (nnloop status), or end "
                "it (nnloop cancel).",
            )
        projects.add_hint(session, project_id, projects.START_TRAINING, [], overrides)
    try:
        context.queue.ensure(JobName.SYNC, project_id)
    except StackError as error:
        return f"Training requested; it starts once nnloop runs. {error.in_full}"
    remark = remark_of(settings, training_devices(context))
    return " ".join(filter(None, ["Training requested; follow it with `nnloop status`.", remark]))


def request_scoring(context: AppContext, project_id: int, *, retry: bool = False) -> str:
    """Asks for the scoring of what the champion has not seen; returns a sentence.

    Args:
        context: The process's context.
        project_id: A connected project.
        retry: Also of the tasks that failed, those set aside too.

    Raises:
        PredictionError: No version serves.
        StackError: Redis does not answer.
    """
    with context.store.begin() as session:
        version = versions.champion(session, project_id)
        if version is None:
            raise nothing_serves(project_id)
        if retry:
            predictions.retry_failed(session, version.id)
            trials.forgive(session, project_id)
        pauses.end(session, project_id, "score")
        is_open = bool(predictions.unscored_tasks(session, project_id, version.id, 1))
        n_failed = predictions.count_failed(session, project_id, version.id)
    if not is_open:
        more = f" {n_failed} failed; --retry tries them again." if n_failed else ""
        return f"{version.name} has scored every unlabelled task.{more}"
    context.queue.ensure(JobName.SCORE, project_id, 0)
    return f"Scoring with {version.name} requested; follow it with `nnloop status`."


def nothing_serves(project_id: int) -> PredictionError:
    """The error for a project without a version in service."""
    return PredictionError(
        f"No version of project {project_id} serves yet.",
        remedy="Wait for the first training (nnloop status), or start one (nnloop train).",
    )
