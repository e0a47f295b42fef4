"""The run that is watched: its folds, what it was trained on, and how its classes are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_config_of, label_names_of
from backend.store.models import FoldRow, ProjectRow, RunRow, TaskRow, VersionRow
from backend.store.training import runs, versions
from converters.label_studio.config.inferred_config import polygon_label_config
from converters.label_studio.config.label_config import parse_label_config
from domain.case import ManifestEntry
from domain.errors import LabelConfigError, TrainingError
from domain.labels import LabelClass, LabelConfig
from domain.states import RunStatus
from training.versions.manifests import RunManifest

_OTHER_RUN = "Name an older run with --run, or start a new one with nnloop train."


@dataclass(frozen=True, slots=True)
class WatchedRun:
    """A run whose cases are prepared.

    Attributes:
        project: Its project.
        run: It.
        manifest: Its own.
        folds: In their order; those that are asked for.
        version: That it has made; None: none yet, or none at all.
    """

    project: ProjectRow
    run: RunRow
    manifest: RunManifest
    folds: tuple[FoldRow, ...]
    version: VersionRow | None

    @property
    def name(self) -> str:
        """What it is called in sentences."""
        return f"Run {self.run.number}"

    def entry_of(self, case_id: str) -> ManifestEntry | None:
        """A case that it was trained on, or held out."""
        return next((one for one in self.manifest.entries if one.case_id == case_id), None)

    @property
    def version_dir(self) -> Path | None:
        """Where its version lies."""
        return Path(self.version.path) if self.version is not None else None


def find_run(
    session: Session, project_id: int, number: int | None, folds: Sequence[int]
) -> WatchedRun:
    """The run that is to be watched.

    Args:
        session: Of the store.
        project_id: Of the project.
        number: Of the run; None: the newest.
        folds: Those that are asked for; () = all.

    Raises:
        TrainingError: There is no such run or fold, or its folds have not begun.
    """
    project = session.get(ProjectRow, project_id)
    last = runs.last_run(session, project_id)
    if project is None or last is None:
        raise TrainingError("No training has run here yet.", remedy="Start one with nnloop train.")
    run = next(iter(runs.runs_of(session, project_id, 1, number=number)), None)
    if run is None:
        raise TrainingError(
            f"There is no run {number}; the newest is {last.number}.", remedy="Correct --run."
        )
    rows = runs.folds_of(session, run.id)
    if run.manifest is None or not rows:
        if RunStatus(run.status).is_final:
            raise TrainingError(
                f"Run {run.number} {run.status} before its folds began.", remedy=_OTHER_RUN
            )
        raise TrainingError(
            f"Run {run.number} is {run.status}: its folds have not begun.",
            remedy="Look again in a while.",
        )
    missing = sorted(set(folds) - {row.fold for row in rows})
    if missing:
        raise TrainingError(
            f"Run {run.number} has no fold {missing[0]}.",
            remedy=f"Its folds are {', '.join(str(row.fold) for row in rows)}.",
        )
    asked = tuple(row for row in rows if not folds or row.fold in folds)
    return WatchedRun(project, run, run.manifest, asked, versions.version_of_run(session, run.id))


def why_nothing(watched: WatchedRun, what: str) -> TrainingError:
    """Why a run has nothing to show.

    Args:
        watched: The run, none of whose folds has any.
        what: Of what: ``checkpoints``, ``pictures``.
    """
    run, status = watched.run, RunStatus(watched.run.status)
    if status == RunStatus.CANCELLED:
        return TrainingError(
            f"{watched.name} was cancelled, and its {what} went with it.", remedy=_OTHER_RUN
        )
    if not status.is_final:
        return TrainingError(
            f"No fold of run {run.number} has finished an epoch yet ({status}).",
            remedy="Look again in a while.",
        )
    version = watched.version
    if version is not None and version.pruned_at is not None and what == "checkpoints":
        return TrainingError(
            f"{version.name}, which run {run.number} has made, was pruned: its weights are gone.",
            remedy=_OTHER_RUN,
        )
    return TrainingError(f"{watched.name} ({status}) has no {what} any more.", remedy=_OTHER_RUN)


def is_there(session: Session, entry: ManifestEntry | None) -> bool:
    """Whether the task of a case is still the one it was, and in its project."""
    if entry is None:
        return False
    task = session.get(TaskRow, entry.task_id)
    return (
        task is not None
        and task.removed_at is None
        and (not entry.source or task.source == entry.source)
    )


def reused_since(watched: WatchedRun) -> frozenset[str]:
    """Names by which the run means another class than the interface does now."""
    if not watched.project.label_mapping:
        return frozenset()
    then = watched.run.settings.label_mapping
    return label_names_of(watched.project).reused(then)


def config_of_run(watched: WatchedRun, class_values: Sequence[str]) -> LabelConfig:
    """The interface with the classes of the run in its integers, in names and colours of now.

    A class that the interface has no longer keeps the name it had. Where the interface can't be
    read, all of them do.
    """
    project, reused = watched.project, reused_since(watched)
    try:
        config = label_config_of(project, project.settings)
    except LabelConfigError:
        return parse_label_config(polygon_label_config(class_values))
    classes = []
    for index, value in enumerate(class_values, start=1):
        now = None if value in reused else config.group.class_by_value(value)
        classes.append(replace(now, index=index) if now else LabelClass(index, value))
    return replace(config, group=replace(config.group, classes=tuple(classes)))
