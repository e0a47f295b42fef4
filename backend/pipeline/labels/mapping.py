"""What people say of their labels: renamed, left out, kept apart; and the table of all names."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import interface_of, label_names_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.labels import questions, republish
from backend.pipeline.labels.of_version import classes_of_version
from backend.pipeline.labels.questions import LabelUse, Question
from backend.queue import JobName
from backend.store import projects
from backend.store.models import ProjectRow
from backend.store.training import runs, versions
from domain.errors import SettingsError, StackError
from domain.labels import DROPPED, LabelNames
from domain.text import closest_first, counted

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LabelReport:
    """The names of a project's labels.

    Attributes:
        present: Those of the interface, in its order.
        missing: Those that annotations use and the interface lacks.
        mapping: {old name: new name, "" for one that is left out}.
        counts_as: {name that is no label: the label it is read as, "" for none}.
        apart: (gone, new) pairs that are no rename.
        questions: What a person should say.
    """

    present: tuple[LabelUse, ...]
    missing: tuple[LabelUse, ...]
    mapping: dict[str, str]
    counts_as: dict[str, str]
    apart: tuple[tuple[str, str], ...]
    questions: tuple[Question, ...]


@dataclass(frozen=True, slots=True)
class LabelChange:
    """What a person says of labels, by their names.

    Attributes:
        renamed: (old, new) each.
        dropped: Names whose regions count as nothing.
        apart: (gone, new) that are no rename; new "" for all that came.
        forgotten: Old names of the mapping that are to go.
    """

    renamed: Sequence[tuple[str, str]] = field(default=())
    dropped: Sequence[str] = field(default=())
    apart: Sequence[tuple[str, str]] = field(default=())
    forgotten: Sequence[str] = field(default=())


def label_report(context: AppContext, project_id: int) -> LabelReport:
    """The names as the store has them now.

    Raises:
        LabelConfigError: The interface can't be used.
        NotConnectedError: nnloop does not know the project.
    """
    with context.store.read() as session:
        project = projects.get(session, project_id)
        uses = questions.label_uses(session, project)
        present = interface_of(project).class_values
        names = label_names_of(project)
        others = [name for name in (*uses, *project.label_mapping) if name not in present]
        return LabelReport(
            present=tuple(uses.get(name, LabelUse(name)) for name in present),
            missing=tuple(use for name, use in uses.items() if name not in present),
            mapping=dict(project.label_mapping),
            counts_as={
                name: names.now(name) for name in others if names.now(name) in (*present, DROPPED)
            },
            apart=project.labels_apart,
            questions=questions.questions(session, project),
        )


def change_labels(context: AppContext, project_id: int, change: LabelChange) -> list[str]:
    """Keeps what a person says of labels; predictions go out under the new names by themselves.

    Returns:
        Sentences about what is known now.

    Raises:
        LabelConfigError: The interface can't be used.
        NotConnectedError: nnloop does not know the project.
        SettingsError: A name is no label, is one still, nobody uses it, or the names would lead in
            a circle.
    """
    with context.store.begin() as session:
        projects.lock(session, project_id)
        project = projects.get(session, project_id)
        uses = questions.label_uses(session, project)
        sentences = _keep(session, project, change, uses)
    try:
        # What became due (a training, a push) is found by the next reading.
        context.queue.ensure(JobName.SYNC, project_id)
    except StackError as error:
        sentences.append(f"It takes effect once nnloop runs. {error.in_full}")
    return sentences


def _keep(
    session: Session, project: ProjectRow, change: LabelChange, uses: dict[str, LabelUse]
) -> list[str]:
    before = label_names_of(project)
    mapping = dict(project.label_mapping)
    known = _known(session, project, uses)
    sentences = []
    for name in change.forgotten:
        if name not in mapping:
            raise SettingsError(
                f'"{name}" is not mapped.', remedy=f"Mapped are: {_listed(mapping, name)}."
            )
        del mapping[name]
        sentences.append(f'"{name}" is mapped to nothing any more.')
    _refuse_swap(change.renamed, before)
    between = {new for _, new in change.renamed}
    for old, new in (*change.renamed, *((name, DROPPED) for name in change.dropped)):
        _check(project.id, old, new, before, mapping)
        if old not in (*mapping, *mapping.values(), *between):
            _require_used(old, known, before, mapping, project.id)
        was = mapping.get(old, new)
        if new in before.present and new in mapping:
            if _is_taken_back(old, new, mapping, before):
                del mapping[new]
            else:
                _require_written(new, mapping[new], uses, old, project.id)
        mapping[old] = new
        sentences.append(f"{_meaning(old, new, was)}: {_users(uses.get(old))}.")
        if was != new:
            sentences.append(f"To forget it: nnloop labels {project.id} --unmap {shlex.quote(old)}")
    project.label_mapping = mapping
    after = label_names_of(project)
    for name in mapping:
        if name not in after.present and after.now(name) not in (*after.present, DROPPED):
            raise SettingsError(
                f'"{name}" would lead to "{after.now(name)}", which is no label of the interface.',
                remedy=f"Its labels are {_listed(before.present, after.now(name))}; the mapping is "
                f"{', '.join(f'{old}={new}' for old, new in mapping.items())} (nnloop labels "
                f"{project.id} --unmap OLD forgets an entry).",
            )
    sentences += _keep_apart(project, change.apart, before)
    for old, _ in change.apart:
        if old not in before.present:
            _require_used(old, known, before, mapping, project.id)
    republish.publish_again(session, project, before, after)
    questions.report_questions(session, project)
    return sentences


def _known(session: Session, project: ProjectRow, uses: dict[str, LabelUse]) -> dict[str, str]:
    """Who uses a name, in words: of those that annotations or versions know."""
    users = {name: questions.tasks_in_words(len(use.tasks)) for name, use in uses.items()}
    for version in reversed(versions.versions_of(session, project.id)):
        for name in classes_of_version(session, version):
            users.setdefault(name, version.name)
    last = runs.last_run(session, project.id)
    for name in last.settings.class_values if last else ():
        users.setdefault(name, "the last training")
    return users


def _is_taken_back(old: str, new: str, mapping: Mapping[str, str], names: LabelNames) -> bool:
    """Whether ``new`` became ``old`` by earlier renames, rather than being given to another class.

    The way over names that are labels of the interface leads through other classes.
    """
    name, seen = mapping[new], {new}
    while name != old:
        if name in seen or name in names.present or name not in mapping:
            return False
        seen.add(name)
        name = mapping[name]
    return True


def _require_written(
    name: str, became: str, uses: Mapping[str, LabelUse], old: str, project_id: int
) -> None:
    """Raises SettingsError where annotations use a name that another class gets.

    Whether one of them was drawn before or after, its name does not tell.
    """
    if name not in uses:
        return
    command = f"nnloop labels {project_id}"
    rename = shlex.quote(f"{old}={name}")
    raise SettingsError(
        f'"{name}" was renamed to "{became}", and '
        f"{questions.tasks_in_words(len(uses[name].tasks))} "
        f'still use the name: they would count as what was "{old}".',
        remedy=f'Take "{name}" out of the interface again, {command} --write, then put it back. '
        f"Or, if all of them were drawn under its new meaning: {command} --unmap "
        f"{shlex.quote(name)} --map {rename}, then nnloop train {project_id}.",
    )


def _require_used(
    name: str,
    known: Mapping[str, str],
    names: LabelNames,
    mapping: Mapping[str, str],
    project_id: int,
) -> None:
    """Raises SettingsError for a name that nobody uses: it is misspelt, or there is nothing to say.

    Whoever is told of such a rename would go on leaving out what is called otherwise.
    """
    if name in known:
        return
    others = [other for other in known if other not in names.present]
    listed = ", ".join(f'"{other}" ({known[other]})' for other in closest_first(name, others))
    remedy = (
        f"Used, but no label of the interface: {listed}."
        if listed
        else "All names that are used are labels of the interface: nothing needs a mapping."
    )
    if mapping:
        mapped = ", ".join(f"{old}={new}" for old, new in mapping.items())
        remedy += (
            f" Mapped already: {mapped} (nnloop labels {project_id} --unmap OLD forgets an entry)."
        )
    raise SettingsError(f'"{name}" is used by no annotation and no version.', remedy=remedy)


def _meaning(old: str, new: str, was: str) -> str:
    meaning = f'counts as "{new}"' if new else "counts as background"
    return f'"{old}" {meaning}' + ("" if was == new else f", no longer as {_class(was)}")


def _class(name: str) -> str:
    return f'"{name}"' if name else "background"


def _users(use: LabelUse | None) -> str:
    n = use.n_annotations if use else 0
    return f"{counted(n, 'annotation')} {'uses' if n == 1 else 'use'} it"


def _refuse_swap(renamed: Sequence[tuple[str, str]], names: LabelNames) -> None:
    """Raises SettingsError where two labels of the interface are to exchange their names."""
    for old, new in renamed:
        if (new, old) in renamed and {old, new} <= set(names.present) and old != new:
            raise SettingsError(
                f'"{old}" and "{new}" are both labels of the interface, and each says what it is: '
                "which annotations are from before a swap, their names don't tell.",
                remedy="Swap them over a third name, in three renames, each with --write; "
                "docs/truth.md says how.",
            )


def _check(
    project_id: int, old: str, new: str, names: LabelNames, mapping: Mapping[str, str]
) -> None:
    if old in names.present:
        forget = f"nnloop labels {project_id} --unmap {shlex.quote(old)}"
        raise SettingsError(
            f'"{old}" is a label of the interface: its name says what it is.',
            remedy="Rename or remove it in Label Studio's labelling interface first."
            + (
                f" What was said of it before has no effect; it is forgotten by {forget}"
                if old in mapping
                else ""
            ),
        )
    if new not in (*names.present, *mapping, DROPPED):
        raise SettingsError(
            f'"{new}" is no label of the interface.',
            remedy=f"Its labels are {_listed(names.present, new)}.",
        )


def _keep_apart(
    project: ProjectRow, pairs: Sequence[tuple[str, str]], names: LabelNames
) -> list[str]:
    apart = list(project.labels_apart)
    sentences = []
    for old, new in pairs:
        if new and new not in names.present:
            raise SettingsError(
                f'"{new}" is no label of the interface.',
                remedy=f"Its labels are {_listed(names.present, new)}.",
            )
        added = [(old, name) for name in ([new] if new else names.present)]
        apart += [pair for pair in added if pair not in apart]
        sentences.append(
            f'"{old}" is another label than {questions.in_quotes([n for _, n in added])}.'
        )
    project.labels_apart = tuple(apart)
    return sentences


def _listed(names: Iterable[str], wanted: str) -> str:
    return ", ".join(f'"{name}"' for name in closest_first(wanted, tuple(names))) or "none"
