"""Labelled tasks -> cases: what is new or changed is fetched, drawn and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

import numpy.typing as npt

from backend.pipeline.basis import trials
from backend.pipeline.basis.annotations import label_map_of, predicted_regions, reading_of
from backend.pipeline.basis.beat import Beat
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.faults import fault_of
from backend.pipeline.basis.images import image_uris, load_image
from backend.pipeline.cases.revalidate import revalidate
from backend.settings import ProjectSettings
from backend.store import projects
from backend.store.models import AnnotationRow, CaseRow, ProjectRow, TaskRow
from backend.store.tasks import snapshots
from backend.store.training.cases import cases_of, save_case
from converters.images.likeness import fingerprint
from domain.annotation import LeftOut
from domain.case import case_id_of_task
from domain.hashing import content_hash
from domain.labels import LabelConfig
from training.case_files import CaseFiles, find_cases, write_case


class _ColorFound(Exception):  # noqa: N818 - a signal, not an error
    """A colour image turned up in a project that was grey so far."""


@dataclass(frozen=True, slots=True)
class Source:
    """A labelled task with the annotations that count, oldest first, their regions not loaded."""

    task: TaskRow
    annotations: tuple[AnnotationRow, ...]

    @property
    def case_id(self) -> str:
        """Of the case it becomes."""
        return case_id_of_task(self.task.id, self.task.source)

    @property
    def own_group(self) -> str:
        """Its group where it has no other: of the task's id, so that its fold never moves."""
        return case_id_of_task(self.task.id)

    @property
    def annotation_ids(self) -> tuple[int, ...]:
        """Of all its annotations, in the order in which they were made."""
        return tuple(sorted(annotation.id for annotation in self.annotations))

    @property
    def content_hash(self) -> str:
        """Of all its annotations."""
        return snapshots.hash_of(self.annotations)


@dataclass(frozen=True, slots=True)
class WrittenCases:
    """The cases on disk by case id, what was left out of them, and their number of channels."""

    n_channels: int
    files: dict[str, CaseFiles] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CaseWriter:
    """Writes the cases of a project: how its annotations are read, and whom to ask in between.

    ``beat`` is called before each task; what it raises ends the writing.
    """

    context: AppContext
    project: ProjectRow
    config: LabelConfig
    settings: ProjectSettings
    beat: Beat

    def write(self, sources: Sequence[Source]) -> WrittenCases:
        """Makes the raw cases equal to the sources; unchanged ones are neither fetched nor drawn.

        The first colour image turns the whole project to colour, for good: grey images among colour
        ones make nnU-Net fail late. A task that can't be used is left out with the reason.

        Raises:
            LabelStudioError: Label Studio does not answer.
        """
        revalidate(self.context, [source.task for source in sources], self.config, self.beat)
        n_images = len(self.config.image_keys)
        # Another number of images as channels starts in grey again.
        is_color = self.project.n_channels == 3 * n_images
        try:
            return self._write_all(sources, 3**is_color * n_images)
        except _ColorFound:
            n_channels = 3 * n_images
            with self.context.store.begin() as session:
                # Kept at once: a run that is cut off from here on must not begin in grey again.
                projects.get(session, self.project.id).n_channels = n_channels
            return self._write_all(sources, n_channels)

    def _write_all(self, sources: Sequence[Source], n_channels: int) -> WrittenCases:
        with self.context.store.begin() as session:
            known = cases_of(session, self.project.id)
        on_disk = find_cases(
            self.context.workspace(self.project.id),
            {case_id: row.files_hash for case_id, row in known.items()},
            n_channels,
        )
        deadly = trials.deadly_tasks(self.context, self.project.id)
        cases = WrittenCases(n_channels)
        for source in sources:
            self.beat()
            try:
                source_hash = _source_hash(source, self.config, self.settings, n_channels)
                row = known.get(source.case_id)
                if (
                    row is not None
                    and row.source_hash == source_hash
                    and source.case_id in on_disk
                    and _is_of_image(row, source.task)
                ):
                    cases.files[source.case_id] = on_disk[source.case_id]
                    cases.left_out.extend(row.notes)
                    continue
                with trials.at_work(self.context, source.task, deadly):
                    image = load_image(self.context, source.task, self.config)
                files, notes = self._draw(source, image, n_channels)
                looks = fingerprint(image)
            except _ColorFound:
                raise
            except Exception as error:  # noqa: BLE001 - what is no fault of the task is raised
                cases.left_out.append(fault_of(source.task.id, error))
                continue
            written = _Written(source_hash, files, tuple(notes), looks)
            self._save(source, written, known.get(source.case_id))
            cases.files[source.case_id] = files
            cases.left_out.extend(notes)
        return cases

    def _draw(
        self, source: Source, image: npt.NDArray[Any], n_channels: int
    ) -> tuple[CaseFiles, tuple[LeftOut, ...]]:
        if image.ndim == 3 and image.shape[2] == 3 * n_channels:
            raise _ColorFound
        with self.context.store.begin() as session:
            annotations = snapshots.with_results(session, source.annotations)
            predicted = predicted_regions(session, annotations)
        size_hw = (int(image.shape[0]), int(image.shape[1]))
        label_map, notes = label_map_of(annotations, self.config, size_hw, self.settings, predicted)
        workspace = self.context.workspace(self.project.id)
        files = write_case(workspace, source.case_id, image, label_map, n_channels=n_channels)
        return files, notes

    def _save(self, source: Source, written: _Written, before: CaseRow | None) -> None:
        looks_same = before is not None and before.fingerprint == written.fingerprint
        with self.context.store.begin() as session:
            save_case(
                session,
                CaseRow(
                    project_id=self.project.id,
                    case_id=source.case_id,
                    task_id=source.task.id,
                    source_hash=written.source_hash,
                    files_hash=written.files.content_hash,
                    image_hash=source.task.image_hash,
                    notes=written.notes,
                    fingerprint=written.fingerprint,
                    alike=before.alike if before is not None and looks_same else None,
                ),
            )


@dataclass(frozen=True, slots=True)
class _Written:
    """What is stored of a case; see ``CaseRow``."""

    source_hash: str
    files: CaseFiles
    notes: tuple[LeftOut, ...]
    fingerprint: str


def _is_of_image(row: CaseRow, task: TaskRow) -> bool:
    """Whether a case shows the image as it was last fetched; what is not known does not count."""
    return "" in (row.image_hash, task.image_hash) or row.image_hash == task.image_hash


def _interface_of(config: LabelConfig) -> list[Any]:
    """All of the interface that label maps depend on; colours and hints are not of it."""
    return [
        [astuple(control) for control in config.group.controls],
        [[c.value, c.title, list(c.former_values)] for c in config.group.labels],
        sorted(config.image_names),
        list(config.image_keys),
    ]


def _source_hash(
    source: Source, config: LabelConfig, settings: ProjectSettings, n_channels: int
) -> str:
    uris = image_uris(source.task, config)
    return content_hash(
        [
            source.content_hash,
            source.task.source,
            uris[0] if len(uris) == 1 else uris,
            _interface_of(config),
            reading_of(config, settings),
            n_channels,
        ]
    )
