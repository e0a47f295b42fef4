"""When a training run starts: enough new or changed annotations, or a person's request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from backend.pipeline.run_settings import class_values_of, run_settings, settings_of_run
from backend.settings import ProjectSettings
from backend.store import projects, runs, snapshots
from backend.store.models import RunRow


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a run is due, and the sentence that says why (or what it waits for)."""

    is_due: bool
    reason: str


def decide(
    labelled: int,
    changed: int,
    settings: ProjectSettings,
    *,
    has_run: bool,
    new_labels: str = "",
) -> Decision:
    """The rule: the first run waits for ``min_annotations``, later ones for ``retrain_after``.

    Changed labels do not wait: what the serving version predicts is not what is drawn any more.

    Args:
        labelled: Tasks with a submitted annotation.
        changed: Of these, how many are new, changed or gone since the last run's manifest.
        settings: The project's settings.
        has_run: Whether any run has been started before.
        new_labels: How the labels differ from the last run's; empty when they don't.
    """
    if labelled < settings.min_annotations:
        missing = settings.min_annotations - labelled
        return Decision(
            False, f"{labelled} of {settings.min_annotations} annotations, {missing} more needed"
        )
    if not has_run:
        return Decision(True, f"{labelled} annotations, the first training is due")
    if new_labels:
        return Decision(True, f"the labels have changed: {new_labels}")
    if changed < settings.retrain_after:
        return Decision(
            False,
            f"{changed} of {settings.retrain_after} new or changed annotations since the last run",
        )
    return Decision(True, f"{changed} new or changed annotations since the last run")


def evaluate(session: Session, project_id: int) -> Decision:
    """``decide`` on what the store holds now."""
    project = projects.get(session, project_id)
    settings = projects.settings_of(project)
    current = snapshots.chosen_hashes(session, project_id, settings.annotator_policy)
    last = runs.last_run(session, project_id)
    trained = _candidates_of(last)
    changed = sum(
        1
        for key in current.keys() | trained.keys()
        if not _is_same(current.get(key), trained.get(key))
    )
    new_labels = _new_labels(class_values_of(project), last)
    return decide(len(current), changed, settings, has_run=last is not None, new_labels=new_labels)


def start_if_due(session: Session, project_id: int) -> RunRow | None:
    """Creates the run that is due; None when none is, or one is active."""
    if runs.active_run(session, project_id) is not None:
        return None
    decision = evaluate(session, project_id)
    return start(session, project_id, decision.reason) if decision.is_due else None


def start(
    session: Session, project_id: int, reason: str, overrides: Mapping[str, Any] | None = None
) -> RunRow | None:
    """Creates a run; None when one is active. The run remembers what was annotated at its start.

    ``overrides`` are RunSettings for this run alone. Raises SettingsError when one can't be used.
    """
    project = projects.get(session, project_id)
    settings = run_settings(project, overrides or {})
    run = runs.create_run(session, project_id, reason, settings.model_dump(mode="json"))
    if run is not None:
        chosen = snapshots.chosen_hashes(session, project_id, settings.annotator_policy)
        run.candidates = {str(task_id): list(found) for task_id, found in chosen.items()}
    return run


def _new_labels(now: tuple[str, ...], last: RunRow | None) -> str:
    # A run of 0.1 did not keep its labels; an interface that can't be read says nothing.
    before = settings_of_run(last).class_values if last else ()
    if not now or not before or set(now) == set(before):
        return ""
    added = [f"new is {name!r}" for name in now if name not in before]
    gone = [f"gone is {name!r}" for name in before if name not in now]
    return ", ".join(added + gone)


def _is_same(now: Sequence[Any] | None, before: Sequence[Any] | None) -> bool:
    """Whether a task is labelled as before, and is the same one: ids are reused."""
    if now is None or before is None:
        return now is before
    # A run of 0.1 did not keep the source.
    return all(a == b for a, b in zip(now, before, strict=False))


def _candidates_of(run: RunRow | None) -> dict[int, list[Any]]:
    return {} if run is None else {int(task): list(row) for task, row in run.candidates.items()}
