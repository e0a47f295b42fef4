"""Labels that went and came: who still uses them, and what a person is asked about them."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import interface_of, label_config_of, label_names_of
from backend.pipeline.labels.of_version import classes_of_version, reused_names
from backend.pipeline.labels.republish import publish_again, push_anew
from backend.store import clock
from backend.store.models import (
    AnnotationRow,
    ProblemRow,
    ProjectRow,
    TaskRow,
)
from backend.store.training import runs, versions
from converters.label_studio.config.controls import Place, places_of
from converters.label_studio.relabel import label_names
from domain.errors import LabelConfigError
from domain.labels import DROPPED
from domain.text import counted

logger = logging.getLogger(__name__)

STAGE = "labels"
"""Of the problems reported here."""

RENAME = "rename"
"""A label in use went and others came: no training starts by itself before it is answered."""

RENAME_OF_VERSION = "rename_of_version"
"""The same of a label that only the serving version knows."""

GONE = "gone"
"""A label in use went; its tasks are left out."""

NAME_AGAIN = "name_again"
"""The interface has the old name of a rename again, beside the new one."""

QUESTIONS = (RENAME, RENAME_OF_VERSION, GONE, NAME_AGAIN)
"""Reasons of the problems about labels that a person should answer."""

_CHUNK = 500


@dataclass(frozen=True, slots=True)
class LabelUse:
    """A label's name as annotations spell it, and who uses it."""

    name: str
    n_annotations: int = 0
    tasks: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Question:
    """What a person should say about a label that the interface lacks.

    ``came`` are the labels it may have become: no annotation uses them yet. ``tasks`` use the gone
    label, and are left out until it is answered. ``was_known`` says that a training knew it.
    """

    gone: str
    came: tuple[str, ...]
    tasks: frozenset[int]
    project_id: int
    version: str = ""
    was_known: bool = True

    @property
    def reason(self) -> str:
        """One of ``RENAME``, ``RENAME_OF_VERSION``, ``GONE``."""
        if not self.came:
            return GONE
        return RENAME if self.tasks else RENAME_OF_VERSION

    @property
    def message(self) -> str:
        """The question, or what follows from a label that only went."""
        users = [f"the annotations of {tasks_in_words(len(self.tasks))}"] if self.tasks else []
        users += [self.version] if self.version else []
        still = f"{' and '.join(users)} still {'use' if self.tasks else 'predicts'} it."
        if not self.came:
            left_out = " These tasks are left out." if self.tasks else ""
            gone = "went" if self.was_known else "is none of the interface"
            return f'The label "{self.gone}" {gone}; {still}{left_out}'
        went = (
            f'The label "{self.gone}" went and {in_quotes(self.came)} came'
            if self.was_known
            else f'The interface lacks the label "{self.gone}", and nobody uses '
            f"{in_quotes(self.came)}"
        )
        kind = "a rename" if len(self.came) == 1 else "a rename, or split up"
        return f"{went}: {kind}? {still[0].upper()}{still[1:]}"

    @property
    def cause(self) -> str:
        """Why tasks can't be trained on, with the question, as one sentence."""
        was_it = " or ".join(f'"{name}"' for name in self.came)
        return (
            f'the annotations of {tasks_in_words(len(self.tasks))} use "{self.gone}", which the '
            + (f"interface lacks; did you rename it to {was_it}?" if was_it else "interface lacks.")
        )

    @property
    def remedy(self) -> str:
        """The commands that answer it."""
        command, gone = f"nnloop labels {self.project_id}", self.gone
        if len(self.came) == 1:
            pair = shlex.quote(f"{gone}={self.came[0]}")
            return f"Yes: {command} --map {pair}; no: {command} --keep-apart {pair}"
        name = shlex.quote(f"{gone}=NAME")
        if self.came:
            return (
                f"Renamed: {command} --map {name}; split up: {command} --keep-apart "
                f"{shlex.quote(gone)}, and relabel those tasks."
            )
        return (
            f"Relabel them, or put the label back. {command} --map {name} reads it as another, "
            f"--drop {shlex.quote(gone)} counts its regions as background."
        )


def in_quotes(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> in_quotes(["a", "b", "c"])
    '"a", "b" and "c"'
    """
    quoted = [f'"{name}"' for name in names]
    return " and ".join(filter(None, (", ".join(quoted[:-1]), *quoted[-1:])))


def tasks_in_words(n: int) -> str:
    """``1 task``, ``24 tasks``."""
    return counted(n, "task")


def label_uses(session: Session, project: ProjectRow) -> dict[str, LabelUse]:
    """The names that submitted annotations of live tasks use, as they spell them.

    Reads the regions of all of them.

    Raises:
        LabelConfigError: The interface can't be used.
    """
    group = interface_of(project).group
    n_annotations: dict[str, int] = {}
    tasks: dict[str, set[int]] = {}
    for row in _submitted(session, project.id):
        for name in label_names(row.result, group):
            n_annotations[name] = n_annotations.get(name, 0) + 1
            tasks.setdefault(name, set()).add(row.task_id)
    return {
        name: LabelUse(name, n, frozenset(tasks[name])) for name, n in sorted(n_annotations.items())
    }


def _submitted(session: Session, project_id: int) -> Iterator[AnnotationRow]:
    query = (
        select(AnnotationRow)
        .join(TaskRow, TaskRow.id == AnnotationRow.task_id)
        .where(
            TaskRow.project_id == project_id,
            TaskRow.removed_at.is_(None),
            AnnotationRow.removed_at.is_(None),
            AnnotationRow.was_cancelled.is_(False),
        )
    )
    return iter(session.scalars(query.execution_options(yield_per=_CHUNK)))


def questions(session: Session, project: ProjectRow) -> tuple[Question, ...]:
    """What the annotations and the serving version know and the interface lacks, as questions."""
    try:
        uses = label_uses(session, project)
    except LabelConfigError:
        return ()  # said elsewhere
    names = label_names_of(project)
    version = versions.champion(session, project.id)
    predicted = classes_of_version(session, version) if version else ()
    last = runs.last_run(session, project.id)
    trained = last.settings.class_values if last else ()
    was_known = {*trained, *predicted, *names.current_names((*trained, *predicted))}
    known = {*uses, *predicted}
    now = {names.now(name) for name in known}
    came = [name for name in names.present if name not in now]
    apart = set(project.labels_apart)
    unanswered = []
    for name in dict.fromkeys((*uses, *predicted)):
        if names.now(name) == DROPPED or names.now(name) in names.present:
            continue
        candidates = tuple(new for new in came if (name, new) not in apart)
        tasks = uses[name].tasks if name in uses else frozenset()
        if tasks or candidates:
            served_by = version.name if version and name in predicted else ""
            unanswered.append(
                Question(name, candidates, tasks, project.id, served_by, name in was_known)
            )
    return tuple(unanswered)


def report_questions(session: Session, project: ProjectRow) -> tuple[Question, ...]:
    """Makes the open problems about labels those that the store shows now.

    Of a name that no training knew and that nothing came for, each task's own problem says enough.
    """
    unanswered = questions(session, project)
    problems = [
        (question.reason, question.message, question.remedy)
        for question in unanswered
        if question.came or question.was_known
    ]
    replace_problems(session, project.id, QUESTIONS, [*problems, *_names_again(session, project)])
    return unanswered


def _names_again(session: Session, project: ProjectRow) -> list[tuple[str, str, str]]:
    """(reason, message, remedy) of names that mean themselves again, though they were renamed.

    Where the new name is gone the rename was taken back, and where a person gave the name to
    another class (a rename leads to it) they know: nothing is to be said.
    """
    names = label_names_of(project)
    again = [
        (old, new)
        for old, new in project.label_mapping.items()
        if {old, new} <= set(names.present) and old not in project.label_mapping.values()
    ]
    if not again:
        return []
    uses, version = label_uses(session, project), versions.champion(session, project.id)
    shown = reused_names(session, project, version) if version else frozenset()
    predicted = shown.intersection(classes_of_version(session, version)) if version else ()
    problems = []
    for old, new in again:
        effects = []
        if old in uses:
            users = f"the annotations of {tasks_in_words(len(uses[old].tasks))}"
            effects.append(f'what {users} call "{old}" counts as "{old}", not as "{new}"')
        if version is not None and old in predicted:
            effects.append(f'the predictions of {version.name} that show "{old}" are held')
        if not effects:
            continue
        command, name = f"nnloop labels {project.id}", shlex.quote(old)
        message = (
            f'The label "{old}", once renamed to "{new}", is in the interface again: '
            f"{'; '.join(effects)}."
        )
        remedy = (
            f"Meant so: {command} --unmap {name}. Is it another class: take it out once more, "
            f"{command} --write, put it back, nnloop train {project.id}, then --unmap {name}."
        )
        problems.append((NAME_AGAIN, message, remedy))
    return problems


def replace_problems(
    session: Session,
    project_id: int,
    reasons: Sequence[str],
    problems: Iterable[tuple[str, str, str]],
) -> None:
    """Makes the open problems about labels of some reasons those given; known ones stay.

    Args:
        session: In a transaction.
        project_id: Whose.
        reasons: Which problems.
        problems: (reason, message, remedy) each.
    """
    wanted = {message: (reason, remedy) for reason, message, remedy in problems}
    query = select(ProblemRow).where(
        ProblemRow.project_id == project_id,
        ProblemRow.stage == STAGE,
        ProblemRow.reason.in_(reasons),
        ProblemRow.resolved_at.is_(None),
    )
    for row in session.scalars(query):
        if row.message in wanted:
            row.reason, row.remedy = wanted.pop(row.message)
        else:
            row.resolved_at = clock.now()
    for message, (reason, remedy) in wanted.items():
        logger.warning("Project %d: %s %s", project_id, message, remedy)
        session.add(
            ProblemRow(
                project_id=project_id, stage=STAGE, reason=reason, message=message, remedy=remedy
            )
        )
    session.flush()


def has_open_problem(session: Session, project_id: int, *reasons: str) -> bool:
    """Whether a problem about labels is open, of these reasons."""
    query = select(ProblemRow.id).where(
        ProblemRow.project_id == project_id,
        ProblemRow.stage == STAGE,
        ProblemRow.reason.in_(reasons),
        ProblemRow.resolved_at.is_(None),
    )
    return session.scalar(query.limit(1)) is not None


def open_questions(session: Session, project: ProjectRow) -> tuple[Question, ...]:
    """``questions`` where some were found and are not answered; costs next to nothing else."""
    is_open = has_open_problem(session, project.id, *QUESTIONS)
    return questions(session, project) if is_open else ()


def take_config(session: Session, project: ProjectRow, xml: str, *, changed: int = 0) -> None:
    """Keeps the interface as Label Studio has it now, and does what follows from other labels.

    Args:
        session: In a transaction.
        project: Its row.
        xml: The labelling configuration.
        changed: How many annotations are new or changed; they may answer an open question.
    """
    before, drawn_before = label_names_of(project), _places_of(project)
    project.label_config = xml
    after, drawn_after = label_names_of(project), _places_of(project)
    is_other = set(before.present) != set(after.present)
    if is_other and after.present:  # one that can't be read says nothing about labels
        publish_again(session, project, before, after)
    version = versions.champion(session, project.id)
    if version is not None and drawn_after and drawn_before - drawn_after:
        # Another control draws a class now: publishing finds what is shown in none.
        push_anew(session, version)
    is_open = changed and has_open_problem(session, project.id, *QUESTIONS)
    if is_other or is_open or project.synced_at is None:
        report_questions(session, project)


def _places_of(project: ProjectRow) -> frozenset[Place]:
    try:
        return places_of(label_config_of(project, project.settings).group)
    except LabelConfigError:
        return frozenset()
