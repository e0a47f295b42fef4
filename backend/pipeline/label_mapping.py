"""What people say of their labels: renamed, left out, kept apart; and the table of all names."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from backend.pipeline import labels
from backend.pipeline.annotations import label_config_of, label_names_of
from backend.pipeline.context import AppContext
from backend.pipeline.labels import LabelUse, Question
from backend.queue import JobName
from backend.store import projects
from backend.store.models import ProjectRow
from domain.errors import SettingsError, StackError
from domain.labels import DROPPED, LabelNames

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
        uses = labels.label_uses(session, project)
        present = label_config_of(project, projects.settings_of(project)).class_values
        names = label_names_of(project)
        others = [name for name in (*uses, *project.label_mapping) if name not in present]
        return LabelReport(
            present=tuple(uses.get(name, LabelUse(name)) for name in present),
            missing=tuple(use for name, use in uses.items() if name not in present),
            mapping=dict(project.label_mapping),
            counts_as={
                name: names.now(name) for name in others if names.now(name) in (*present, DROPPED)
            },
            apart=tuple((old, new) for old, new in project.labels_apart),
            questions=labels.questions(session, project),
        )


def change_labels(context: AppContext, project_id: int, change: LabelChange) -> list[str]:
    """Keeps what a person says of labels; predictions go out under the new names by themselves.

    Returns:
        Sentences about what is known now.

    Raises:
        LabelConfigError: The interface can't be used.
        NotConnectedError: nnloop does not know the project.
        SettingsError: A name is no label, is one still, or the names would lead in a circle.
    """
    with context.store.begin() as session:
        projects.lock(session, project_id)
        project = projects.get(session, project_id)
        uses = labels.label_uses(session, project)
        said = _keep(session, project, change, uses)
    try:
        # What became due (a training, a push) is found by the next reading.
        context.queue.ensure(JobName.SYNC, project_id)
    except StackError as error:
        said.append(f"It takes effect once nnloop runs. {error} {error.remedy}".strip())
    return said


def _keep(
    session: Session, project: ProjectRow, change: LabelChange, uses: dict[str, LabelUse]
) -> list[str]:
    before = label_names_of(project)
    mapping = dict(project.label_mapping)
    said = []
    for name in change.forgotten:
        if name not in mapping:
            raise SettingsError(
                f'"{name}" is not mapped.', remedy=f"Mapped are: {_listed(mapping)}."
            )
        del mapping[name]
        said.append(f'"{name}" is mapped to nothing any more.')
    for old, new in (*change.renamed, *((name, DROPPED) for name in change.dropped)):
        _check(old, new, before, mapping)
        if new in before.present:
            mapping.pop(new, None)  # a rename that was taken back
        mapping[old] = new
        n = uses[old].n_annotations if old in uses else 0
        what = f'counts as "{new}"' if new else "counts as background"
        said.append(f'"{old}" {what}: {n} {"annotation uses" if n == 1 else "annotations use"} it.')
    project.label_mapping = mapping
    after = label_names_of(project)
    for name in mapping:
        if name not in after.present and after.now(name) not in (*after.present, DROPPED):
            raise SettingsError(
                f'"{name}" would lead to "{after.now(name)}", which is no label of the interface.',
                remedy=f"Its labels are {_listed(before.present)}; the mapping is "
                f"{', '.join(f'{old}={new}' for old, new in mapping.items())}.",
            )
    said += _keep_apart(project, change.apart, before)
    labels.publish_again(session, project, before, after)
    labels.ask(session, project)
    return said


def _check(old: str, new: str, names: LabelNames, mapping: dict[str, str]) -> None:
    if old in names.present:
        raise SettingsError(
            f'"{old}" is a label of the interface: its name says what it is.',
            remedy="Rename or remove it in Label Studio's labelling interface first.",
        )
    if new not in (*names.present, *mapping, DROPPED):
        raise SettingsError(
            f'"{new}" is no label of the interface.',
            remedy=f"Its labels are {_listed(names.present)}.",
        )


def _keep_apart(
    project: ProjectRow, pairs: Sequence[tuple[str, str]], names: LabelNames
) -> list[str]:
    apart = [(old, new) for old, new in project.labels_apart]
    said = []
    for old, new in pairs:
        if new and new not in names.present:
            raise SettingsError(
                f'"{new}" is no label of the interface.',
                remedy=f"Its labels are {_listed(names.present)}.",
            )
        found = [(old, name) for name in ([new] if new else names.present)]
        apart += [pair for pair in found if pair not in apart]
        said.append(f'"{old}" is another label than {labels.in_quotes([n for _, n in found])}.')
    project.labels_apart = [list(pair) for pair in apart]
    return said


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names) or "none"
