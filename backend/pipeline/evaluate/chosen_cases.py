"""Which cases of a project a version is evaluated on, and by which of its folds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from backend.store.models import AnnotationRow, TaskRow
from domain.case import Manifest, ManifestEntry, case_id_of_task
from domain.errors import PredictionError
from training.evaluation.summary import Problem
from training.folds.joined_groups import alike_by, join_groups

Source = tuple[TaskRow, tuple[AnnotationRow, ...]]
"""A labelled task and the annotations that count."""


class Split(StrEnum):
    """Which cases.

    OOF are the version's training cases, each predicted by the fold that held it out. NEW are the
    tasks labelled since, predicted by the mean of the folds, as those that were pushed; one whose
    image or group (patient, video, site) a fold has seen, by a fold that has not. ALL is both.
    What all folds have seen in their whole lineage is left out.
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


@dataclass(frozen=True, slots=True)
class Judging:
    """Who may judge which case: case id -> fold, and the cases that no fold at all has seen."""

    folds: Mapping[str, int]
    unseen: frozenset[str]


def entries_of(
    manifest: Manifest | None, labelled: Sequence[Source], group_of: Callable[[TaskRow], str]
) -> tuple[list[ManifestEntry], dict[str, str]]:
    """Labelled tasks as entries of a manifest: with their groups of now, and the folds of then.

    Groups that share an image are one, as when cases are prepared.

    Args:
        manifest: What the version was trained on; None when it was trained elsewhere.
        labelled: All labelled tasks as they are now.
        group_of: The group of a task, as it is called now.

    Returns:
        The entries in the order of the tasks; and ``Manifest.joined_groups`` of them.
    """
    entries = {entry.case_id: entry for entry in manifest.entries} if manifest else {}
    # Of the time when a case was named by its task's id alone.
    plain = {case_id: entry for case_id, entry in entries.items() if not entry.source}
    found = []
    for task, submitted in labelled:
        case_id = case_id_of_task(task.id, task.source)
        entry = entries.get(case_id) or plain.get(case_id_of_task(task.id))
        found.append(
            ManifestEntry(
                case_id=entry.case_id if entry else case_id,
                task_id=task.id,
                annotation_id=submitted[-1].id,
                content_hash="",
                group=group_of(task),
                fold=entry.fold if entry else 0,
                source=task.source,
                image_hash=task.image_hash,
            )
        )
    joined = join_groups(
        {entry.case_id: entry.group for entry in found},
        alike_by({entry.case_id: entry.image_hash for entry in found}),
    )
    return [replace(e, group=joined.get(e.group, e.group)) for e in found], joined


def choose_cases(
    name: str,
    manifest: Manifest | None,
    labelled: Sequence[tuple[ManifestEntry, Source]],
    split: Split | None,
    judging: Judging,
) -> tuple[list[EvaluationCase], list[Problem]]:
    """The cases of a split, in order of their tasks.

    Args:
        name: The version's, for errors.
        manifest: What the version was trained on; None when it was trained elsewhere.
        labelled: All labelled tasks as they are now (``entries_of``).
        split: None: OOF where something was held out, else NEW.
        judging: Who may judge them; of a version trained elsewhere nobody asks.

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
    cases: list[EvaluationCase] = []
    problems: list[Problem] = []
    for now, (task, submitted) in labelled:
        case_id = now.case_id
        is_new = case_id not in entries
        if chosen is (Split.OOF if is_new else Split.NEW):
            continue
        fold = judging.folds.get(case_id)
        if manifest is None or (is_new and case_id in judging.unseen):
            cases.append(EvaluationCase(case_id, task, submitted, None))
        elif fold is not None:
            cases.append(EvaluationCase(case_id, task, submitted, fold))
        else:
            message = (
                f"No fold of {name} may judge {case_id}: each was trained on it, its image or "
                "others of its group, or started from weights that were."
            )
            problems.append(Problem(case_id, "seen", message))
    seen = {now.case_id for now, _ in labelled}
    if chosen is not Split.NEW:
        for case_id in sorted(entries.keys() - seen):
            message = f"Task {entries[case_id].task_id} has no annotation any more."
            problems.append(Problem(case_id, "not_labelled", message))
    return cases, problems
