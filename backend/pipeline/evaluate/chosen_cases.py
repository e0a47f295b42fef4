"""Which cases of a project a version is evaluated on, and by which of its folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from backend.store.models import AnnotationRow, TaskRow
from domain.case import Manifest, case_id_of_task
from domain.errors import PredictionError
from training.evaluation.summary import Problem

Source = tuple[TaskRow, tuple[AnnotationRow, ...]]
"""A labelled task and the annotations that count."""


class Split(StrEnum):
    """Which cases.

    OOF are the version's training cases, each predicted by the fold that has not seen it. NEW are
    the tasks labelled since, predicted by the mean of the folds, as those that were pushed; one
    whose group (patient, video, site) was trained on, by the fold that held the group out. ALL is
    both.
    """

    OOF = "oof"
    NEW = "new"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class EvaluationCase:
    """A labelled task and who predicts it: the fold that held it out, or (None) all folds."""

    case_id: str
    task: TaskRow
    annotations: tuple[AnnotationRow, ...]
    fold: int | None


def why_nothing_was_held_out(name: str, manifest: Manifest | None) -> str:
    """A sentence; "" for a version whose folds held cases out. Arguments as ``choose_cases``."""
    if manifest is None:
        return f"{name} was trained elsewhere, so no case is known to have been held out."
    if manifest.n_folds < 2:
        return f"{name} was trained on all of its cases, so no case was held out."
    return ""


def choose_cases(
    name: str,
    manifest: Manifest | None,
    folds: tuple[int, ...],
    labelled: list[Source],
    split: Split | None,
    group_of: Callable[[TaskRow], str],
) -> tuple[list[EvaluationCase], list[Problem]]:
    """The cases of a split, in order of their tasks.

    Args:
        name: The version's, for errors.
        manifest: What the version was trained on; None when it was trained elsewhere.
        folds: The folds it has.
        labelled: All labelled tasks as they are now.
        split: None: OOF where something was held out, else NEW.
        group_of: The group of a task.

    Returns:
        The cases, and a problem for every training case that has no answer.

    Raises:
        PredictionError: OOF is asked for, and nothing was held out.
    """
    not_held_out = why_nothing_was_held_out(name, manifest)
    if split in (Split.OOF, Split.ALL) and not_held_out:
        raise PredictionError(
            not_held_out, remedy="--split new evaluates it on the tasks labelled since."
        )
    chosen = split or (Split.NEW if not_held_out else Split.OOF)
    entries = {entry.case_id: entry for entry in manifest.entries} if manifest else {}
    # Of the time when a case was named by its task's id alone.
    plain = {case_id: entry for case_id, entry in entries.items() if not entry.source}
    # A new task of a known patient: the folds that were trained on the patient may not judge it.
    fold_of_group = {entry.group: entry.fold for entry in entries.values()}
    cases: list[EvaluationCase] = []
    problems: list[Problem] = []
    seen = set()
    for task, submitted in labelled:
        case_id = case_id_of_task(task.id, task.source)
        entry = entries.get(case_id) or plain.get(case_id_of_task(task.id))
        case_id = entry.case_id if entry else case_id
        seen.add(case_id)
        if entry is None:
            if chosen is Split.OOF:
                continue
            fold = None if not_held_out else fold_of_group.get(group_of(task))
        elif chosen is Split.NEW:
            continue
        else:
            fold = entry.fold
        if fold is not None and fold not in folds:
            message = (
                f"The fold that held {case_id} out (fold {fold}) is not in {name}."
                if fold >= 0
                else f"A member of {name} has seen {case_id} in all its folds."
            )
            problems.append(Problem(case_id, "fold_missing", message))
            continue
        cases.append(EvaluationCase(case_id, task, submitted, fold))
    if chosen is not Split.NEW:
        for case_id in sorted(entries.keys() - seen):
            message = f"Task {entries[case_id].task_id} has no annotation any more."
            problems.append(Problem(case_id, "not_labelled", message))
    return cases, problems
