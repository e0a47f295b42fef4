"""Predictions of other programs in a project: stored with a score, replaced, shown and retired.

They are no version's of nnloop: they never serve, are no honest pairs, and go when a version of
nnloop's has seen every task.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from backend.label_studio import PushedPrediction, TaskHead
from backend.pipeline.basis.annotations import label_config_of
from backend.pipeline.basis.context import AppContext
from backend.store.identity import source_in
from backend.store.models import ProjectRow
from backend.store.tasks import elsewhere
from backend.store.tasks.elsewhere import ElsewhereRow
from backend.store.training import versions
from converters.imports.scores import Score
from domain.errors import LabelConfigError, SettingsError
from domain.labels import LabelConfig
from domain.text import counted

_MAX_NAME = 64


class Foreign(NamedTuple):
    """A prediction of another program: what it says, how sure it is, and its name."""

    head: TaskHead
    result: list[dict[str, object]]
    score: Score
    model_version: str


def check_version_name(context: AppContext, project_id: int, name: str) -> None:
    """Refuses a name that would pass for a version of nnloop's.

    Raises:
        SettingsError: It is one of theirs, may become one, is empty or too long.
    """
    if not name.strip() or len(name) > _MAX_NAME:
        raise SettingsError(
            f"--model-version is {name[:80]!r}.",
            remedy=f"Name the program and its version in up to {_MAX_NAME} characters.",
        )
    with context.store.begin() as session:
        if versions.OWN_NAME.fullmatch(name) or versions.by_name(session, name, project_id):
            raise SettingsError(
                f"--model-version {name!r} is the name of a version of nnloop's: what another "
                "program says would pass for it.",
                remedy="Name the program that predicted: --model-version totalsegmentator-2.4",
            )


@dataclass(slots=True)
class Elsewhere:
    """The predictions of other programs in one project.

    Args:
        context: The process's context.
        project_id: Which project.
        config: Its labelling configuration.
    """

    context: AppContext
    project_id: int
    config: LabelConfig

    def held(self, model_version: str, heads: Mapping[int, TaskHead]) -> set[int]:
        """Tasks whose prediction of a version an earlier import stored, and that are the same."""
        keys = self._image_keys()
        with self.context.store.begin() as session:
            kept = elsewhere.tasks_of(session, self.project_id, model_version)
        return {
            task_id
            for task_id, source in kept.items()
            if (head := heads.get(task_id)) is not None
            and source_in(head.data, head.created_at, keys) == source
        }

    def store(self, rows: Sequence[Foreign]) -> tuple[set[int], set[int]]:
        """Puts predictions in, in the place of the same version's for the same tasks.

        The new ones come first: a crash in between leaves two, of which the next run takes the
        older one out.

        Returns:
            Positions in ``rows`` of those that took the place of one, and of those that Label
            Studio did not keep.
        """
        client, keys = self.context.label_studio, self._image_keys()
        task_ids = sorted({row.head.id for row in rows})
        old: dict[tuple[int, str], list[int]] = {}
        for held in client.iter_predictions(self.project_id, task_ids=task_ids):
            old.setdefault((held.task_id, held.model_version), []).append(int(held.id or 0))
        client.import_predictions(
            self.project_id,
            [PushedPrediction(r.head.id, list(r.result), r.score.value, r.model_version)
             for r in rows],
        )  # fmt: skip
        new = {
            (held.task_id, held.model_version)
            for held in client.iter_predictions(self.project_id, task_ids=task_ids)
            if held.id not in old.get((held.task_id, held.model_version), ())
        }
        replaced, dropped, kept = set(), set(), []
        for position, row in enumerate(rows):
            key = (row.head.id, row.model_version)
            if key not in new:
                dropped.add(position)
                continue
            for prediction_id in old.pop(key, ()):
                client.delete_prediction(prediction_id)
                replaced.add(position)
            source = source_in(row.head.data, row.head.created_at, keys)
            kept.append(
                ElsewhereRow(
                    project_id=self.project_id,
                    task_id=row.head.id,
                    model_version=row.model_version,
                    source=source,
                    score=row.score.value,
                    is_stated=row.score.is_stated,
                )
            )
        with self.context.store.begin() as session:
            elsewhere.save(session, kept)
        return replaced, dropped

    def settle(self, names: Collection[str], heads: Mapping[int, TaskHead]) -> tuple[str, ...]:
        """Makes the newest version the one that is shown, where none of nnloop's serves.

        Versions of earlier imports go from the tasks that the new ones have.

        Args:
            names: The versions that this import brought, the one to show last.
            heads: The tasks that are there.

        Returns:
            What a person should know, in sentences.
        """
        said = self._retire_former(names, heads)
        shown = [*names][-1]
        with self.context.store.begin() as session:
            champion = versions.champion(session, self.project_id)
            known = set(elsewhere.versions_of(session, self.project_id))
        if champion is not None:
            said.append(
                f"{champion.name} serves this project: queues go by its scores, and what was "
                "imported goes when the next version of nnloop's serves."
            )
            return tuple(said)
        client = self.context.label_studio
        info = client.project(self.project_id)
        held = client.count_predictions(self.project_id)
        if info.model_version != shown and shown in held:
            if info.model_version in held and info.model_version not in known:
                said.append(
                    f"Annotators still see the predictions of {info.model_version!r}, which the "
                    f"project is set to; {shown!r} can be chosen in its settings."
                )
            else:
                client.set_model_version(self.project_id, shown)
        return tuple(said)

    def _retire_former(self, names: Collection[str], heads: Mapping[int, TaskHead]) -> list[str]:
        said = []
        with self.context.store.begin() as session:
            known = list(elsewhere.versions_of(session, self.project_id))
        of = {name: self.held(name, heads) for name in {*known, *names}}
        covered = {task_id for name in names for task_id in of.get(name, ())}
        client = self.context.label_studio
        for name in known:
            if name in names:
                continue
            both = covered & of[name]
            rest = len(of[name]) - len(both)
            if not both:
                continue
            if not rest:
                client.delete_model_version(self.project_id, name)
            else:
                ids = sorted(both)
                for row in list(client.iter_predictions(self.project_id, name, task_ids=ids)):
                    client.delete_prediction(int(row.id or 0))
                said.append(
                    f"{counted(rest, 'task keeps', 'tasks keep')} the predictions of {name!r}: "
                    "this import has none of them."
                )
            with self.context.store.begin() as session:
                elsewhere.forget(session, self.project_id, name, both)
        return said

    def _image_keys(self) -> tuple[str, ...]:
        """As a reading of the project has them, where it is connected."""
        with self.context.store.begin() as session:
            project = session.get(ProjectRow, self.project_id)
            if project is None:
                return self.config.image_keys
            try:
                return label_config_of(project, project.settings).image_keys
            except LabelConfigError:
                return self.config.image_keys
