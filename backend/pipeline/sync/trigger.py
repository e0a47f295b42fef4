"""When a training run starts: enough new or changed annotations, or a person's request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import SPARSE_SETTINGS, TRUTH_SETTINGS, label_names_of
from backend.pipeline.basis.run_settings import run_settings
from backend.pipeline.labels import questions
from backend.settings import ProjectSettings
from backend.settings.option import flags_of
from backend.store import projects
from backend.store.models import ProjectRow, RunRow
from backend.store.tasks import snapshots
from backend.store.training import runs
from domain.annotation import AnnotatedTask
from domain.labels import DROPPED, LabelNames
from domain.states import RunStatus
from domain.text import counted

# A training that leaves out less than one in so many tasks is not wasted: a single task with a
# label that nobody knows holds up no other.
WASTED = 10


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a run is due, and the sentence that says why (or what it waits for)."""

    is_due: bool
    reason: str


@dataclass(frozen=True, slots=True)
class SinceLastRun:
    """What a project has come to since its last run.

    Attributes:
        labelled: Tasks with a submitted annotation that can be trained on.
        changed: Of these, how many are new, changed or gone since the last run's manifest.
        has_run: Whether any run has been started before.
        new_labels: How the labels differ from the last run's, where one went; else empty.
        question: What a person is asked about labels in use; until it is answered a training would
            leave their tasks out for nothing, and is not started.
        remark: What else differs from the last run.
        corrected: A setting for which the last run may have failed and that was changed since.
    """

    labelled: int
    changed: int
    has_run: bool = True
    new_labels: str = ""
    question: str = ""
    remark: str = ""
    corrected: str = ""


def decide(since: SinceLastRun, settings: ProjectSettings) -> Decision:
    """The rule: the first run waits for ``min_annotations``, later ones for ``retrain_after``.

    A label that went does not wait: what the serving version predicts is not what is drawn any
    more. One that came waits until it is drawn: those annotations are counted like any others.
    """
    labelled, changed = since.labelled, since.changed
    if since.question:
        return Decision(False, f"waits for an answer. {since.question}")
    if labelled < settings.min_annotations:
        missing = settings.min_annotations - labelled
        return Decision(
            False,
            f"{labelled} of {counted(settings.min_annotations, 'annotation')}, {missing} more "
            "needed",
        )
    if not since.has_run:
        return Decision(True, f"{counted(labelled, 'annotation')}, the first training is due")
    if since.corrected:
        return Decision(True, f"{since.corrected} was changed since the last run failed")
    if since.new_labels:
        return Decision(True, f"the labels have changed: {since.new_labels}")
    if changed < settings.retrain_after:
        return Decision(
            False,
            f"{changed} of {settings.retrain_after} new or changed annotations since the last run"
            + (f"; {since.remark}" if since.remark else ""),
        )
    return Decision(True, f"{counted(changed, 'new or changed annotation')} since the last run")


def evaluate(session: Session, project_id: int) -> Decision:
    """``decide`` on what the store holds now."""
    project = projects.get(session, project_id)
    settings = project.settings
    current = snapshots.chosen_hashes(session, project_id, settings.annotator_policy)
    last = runs.last_run(session, project_id)
    problems = questions.open_questions(session, project)
    left_out = {task for problem in problems for task in problem.tasks}
    since = SinceLastRun(
        labelled=len(current.keys() - left_out),
        changed=len(changes(current, last, project.label_mapping)),
        has_run=last is not None,
        new_labels=_new_labels(project, last),
        question=next(
            (
                f"{problem.message} {problem.remedy}"
                for problem in problems
                if problem.reason == questions.RENAME
                and len(problem.tasks) * WASTED >= len(current)
            ),
            "",
        ),
        remark=_remark(project, settings, last),
        corrected=_corrected(settings, last),
    )
    return decide(since, settings)


def changes(
    current: Mapping[int, AnnotatedTask], last: RunRow | None, mapping: Mapping[str, str]
) -> set[int]:
    """Tasks that are new, changed or gone since a run, or could not be read by its label names.

    Args:
        current: By task id, as ``chosen_hashes`` gives it.
        last: The run; None: all are new.
        mapping: The project's, of its labels' names.
    """
    trained = last.candidates if last else {}
    # The source is compared, too: ids are reused.
    changed = {
        key for key in current.keys() | trained.keys() if current.get(key) != trained.get(key)
    }
    if last is None or last.settings.label_mapping == mapping:
        return changed
    if last.manifest is None and last.status == RunStatus.FAILED:
        # It ended before it had cases, maybe for want of the mapping.
        return changed | current.keys()
    left_out = last.manifest.left_out if last.manifest else ()
    unread = {item.task_id for item in left_out if item.reason == "unknown_label"}
    return changed | (unread & current.keys())


def start_if_due(session: Session, project_id: int) -> tuple[RunRow | None, str]:
    """Creates the run that is due; None when none is, or one is active. The sentence says which."""
    active = runs.active_run(session, project_id)
    if active is not None:
        return None, f"run {active.number} is {active.status}, what is new is for the one after it"
    decision = evaluate(session, project_id)
    run = start(session, project_id, decision.reason) if decision.is_due else None
    return run, decision.reason if run is None else starts(run)


def starts(run: RunRow) -> str:
    """What a reading says that created a run."""
    return f"starts training run {run.number}: {run.trigger}"


def start(
    session: Session, project_id: int, reason: str, overrides: Mapping[str, Any] | None = None
) -> RunRow | None:
    """Creates a run; None when one is active. The run remembers what was annotated at its start.

    ``overrides`` are RunSettings for this run alone. Raises SettingsError when one can't be used.
    """
    project = projects.get(session, project_id)
    settings = run_settings(project, overrides or {})
    run = runs.create_run(session, project_id, reason, settings)
    if run is not None:
        run.candidates = snapshots.chosen_hashes(session, project_id, settings.annotator_policy)
    return run


def _corrected(settings: ProjectSettings, last: RunRow | None) -> str:
    """The setting that may have failed a run before it had cases, if it is another one now."""
    if last is None or last.manifest is not None or last.status != RunStatus.FAILED:
        return ""
    names = ("group_key", *SPARSE_SETTINGS)
    return next((n for n in names if getattr(last.settings, n) != getattr(settings, n)), "")


def _new_labels(project: ProjectRow, last: RunRow | None) -> str:
    """How the labels differ from a run's, where one of them went."""
    # An interface that can't be read says nothing.
    names = label_names_of(project)
    before = names.current_names(last.settings.class_values if last else ())
    added, gone = _added_and_gone(names, before, project.settings)
    return ", ".join([f"new is {name!r}" for name in added] + gone) if gone else ""


def _remark(project: ProjectRow, settings: ProjectSettings, last: RunRow | None) -> str:
    """What a next training reads otherwise than the last one."""
    if last is None:
        return ""
    before = last.settings
    changed = [
        flags_of(name, ProjectSettings.model_fields[name]).replace("/", " or ")
        for name in TRUTH_SETTINGS
        if getattr(before, name) != getattr(settings, name)
    ]
    names = label_names_of(project)
    if not names.agrees_with(before.label_names):
        changed.append("names of labels")
    added, _ = _added_and_gone(names, names.current_names(before.class_values), settings)
    words = []
    if last.status == RunStatus.CANCELLED:
        words.append(
            f"the annotations of run {last.number}, which was cancelled, start none by themselves: "
            f"nnloop train {project.id} does"
        )
    words += [f"new is the label {name!r}, learned once it is drawn" for name in added]
    if changed:
        words.append(f"{', '.join(changed)} changed: the next training reads all anew")
    return "; ".join(words)


def _added_and_gone(
    names: LabelNames, before: Sequence[str], settings: ProjectSettings
) -> tuple[list[str], list[str]]:
    if not names.present or not before:
        return [], []
    # What is ignored, or background by name, is never learned as a class.
    known = {*before, names.now(settings.ignore_label), names.now(settings.background_label)}
    return (
        [name for name in names.present if name not in known],
        [
            f"gone is {name!r}"
            for name in before
            if name not in names.present and names.now(name) != DROPPED
        ],
    )
