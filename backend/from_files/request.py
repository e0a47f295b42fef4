"""What training from files does next: goes on with a run, begins one, or has nothing to do."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from backend.from_files.context import PROJECT, FilesContext
from backend.pipeline.basis.annotations import TRUTH_SETTINGS, label_config_of
from backend.pipeline.basis.images import is_overwritten
from backend.pipeline.basis.run_settings import run_settings
from backend.pipeline.runs import control
from backend.pipeline.sync import trigger
from backend.settings import ProjectSettings, RunSettings
from backend.settings.option import flags_of
from backend.store import projects
from backend.store.models import ProjectRow, RunRow, TaskRow
from backend.store.tasks import snapshots
from backend.store.training import runs, versions
from domain.errors import ImageError, NotEnoughCasesError
from domain.states import RunControl, RunStatus
from domain.text import counted

_OF_A_TRAINING = (
    *TRUTH_SETTINGS,
    "preset", "trainer", "planner", "plans", "gpu_memory_gb", "n_folds", "budget_s",
    "mirror_train", "unions", "union_order", "seed", "group_key", "join_alike", "channels",
)  # fmt: skip
"""Settings with which the same labels make another model."""


_FIRST = {"min_annotations": 1, "retrain_after": 10**9}
"""Who trains from files asks for each training."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be done.

    Attributes:
        run_id: The run to take to its end; None: nothing is to be done.
        said: A sentence about it.
    """

    run_id: int | None
    said: str


def request_run(
    context: FilesContext,
    overrides: Mapping[str, Any],
    *,
    again: bool = False,
    asked: Mapping[str, Any] | None = None,
    cancel: str = "nnloop cancel",
) -> Request:
    """Begins a run where labels or settings have changed since the last one; or goes on with it.

    Args:
        context: Of the folder, read before.
        overrides: RunSettings for this run alone.
        again: Train though nothing has changed.
        asked: Settings that a person gives now: where a run goes on, they are too late for it.
        cancel: The command that ends a run of this folder.

    Raises:
        NotEnoughCasesError: Nothing is labelled.
        SettingsError: A setting can't be used.
    """
    _end_cancelled(context)
    replaced = _replaced_images(context)
    with context.store.begin() as session:
        active = runs.active_run(session, PROJECT)
        if active is not None:
            return Request(active.id, _goes_on(active, {**(asked or {}), **overrides}, cancel))
        project = projects.get(session, PROJECT)
        policy = project.settings.annotator_policy
        current = snapshots.chosen_hashes(session, PROJECT, policy)
        if not current:
            raise NotEnoughCasesError(
                "No image has a label.", remedy="Label some, or give another source."
            )
        last = runs.last_run(session, PROJECT)
        champion = versions.champion(session, PROJECT)
        changed = trigger.changes(current, last, project.label_mapping)
        settings = run_settings(project, overrides)
        others = _other_settings(settings, last)
        is_done = last is not None and last.status == RunStatus.DONE
        is_other = changed or replaced or others or again or overrides
        if is_done and champion is not None and not is_other:
            return Request(
                None,
                f"Nothing has changed since {champion.name} was trained on it. --again trains all "
                "the same.",
            )
        why = (
            f"{counted(len(changed), 'new or changed label')}"
            if last is not None and (changed or is_done)
            else f"{counted(len(current), 'labelled image')}"
        )
        if replaced:
            why += f"; {counted(len(replaced), 'image')} replaced under the same name"
        if others and last is not None:
            fields = ProjectSettings.model_fields
            flags = [flags_of(n, fields[n]).replace("/", " or ") for n in others]
            why += f"; {', '.join(flags)} changed"
        run = trigger.start(session, PROJECT, why, overrides)
        assert run is not None  # noqa: S101 - no run is active
        start = ""
        if champion is not None and settings.warm_start and not settings.start_from:
            start = f", from the weights of {champion.name} where that is fair"
        return Request(run.id, f"Run {run.number} begins{start}: {why}.")


def _replaced_images(context: FilesContext) -> set[int]:
    """Tasks whose image files hold something else than when they were trained on last.

    The labels are the same then, and say nothing of it.
    """
    with context.store.read() as session:
        project = projects.get(session, PROJECT)
        last = runs.last_run(session, PROJECT)
        manifest = last.manifest if last is not None else None
        trained = {e.task_id: e.image_hash for e in manifest.entries} if manifest else {}
        known = select(TaskRow).where(TaskRow.project_id == PROJECT, TaskRow.image_hash != "")
        tasks = [task for task in session.scalars(known) if trained.get(task.id)]
        config = label_config_of(project, project.settings)
    for task in tasks:
        with suppress(ImageError):  # its field is gone: whoever draws the case says so
            is_overwritten(context, task, config)
    return {task.id for task in tasks if task.image_hash != trained[task.id]}


def _end_cancelled(context: FilesContext) -> None:
    """Ends a run that is to be cancelled: nobody else is at work in the folder now."""
    with context.store.begin() as session:
        run = runs.active_run(session, PROJECT)
        if run is None or run.control != RunControl.CANCEL:
            return
        run.lease_until = 0.0  # of a process that is gone
    control.settle(context, run.id)


def _goes_on(run: RunRow, asked: Mapping[str, Any], cancel: str) -> str:
    said = f"Run {run.number} goes on where it was interrupted ({run.status})."
    late = [name for name, value in asked.items() if getattr(run.settings, name) != value]
    if run.status not in (RunStatus.QUEUED, RunStatus.PREPARING):
        said += (
            " It trains on the labels and with the settings of its start; the same command again "
            "trains on what has changed since."
        )
    if late:
        flags = ", ".join(map(_flag, late))
        said += f" It began without {flags} as given now. To end it and begin anew with that: "
        said += f"{cancel}, then the same command."
    return said


def _flag(name: str) -> str:
    """What a person has given: ``--budget``."""
    of_runs = {"warm_start": "--from-scratch", "replan": "--replan"}
    return of_runs.get(name) or flags_of(name, ProjectSettings.model_fields[name])


def _other_settings(settings: RunSettings, last: RunRow | None) -> list[str]:
    if last is None:
        return []
    return [n for n in _OF_A_TRAINING if getattr(settings, n) != getattr(last.settings, n)]


def settings_of(context: FilesContext, given: Mapping[str, Any]) -> ProjectSettings:
    """The folder's settings: those of before, with what is given now on top."""
    with context.store.read() as session:
        row = session.get(ProjectRow, PROJECT)
        before = row.settings.model_dump() if row is not None else _FIRST
    return ProjectSettings.model_validate({**before, **given})
