"""How far the annotators of a project agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from backend.pipeline.basis.annotations import label_config_of, predicted_regions, read_settings_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.faults import entry_of
from backend.pipeline.basis.images import load_image
from backend.pipeline.sync.reading import read_project
from backend.settings import ProjectSettings
from backend.store import projects
from backend.store.models import AnnotationRow, TaskRow
from backend.store.tasks import snapshots
from converters.label_studio.read import annotation_to_label_map
from converters.painting.combining import Agreement, agreement, pooled
from domain.annotation import Annotation, LeftOut
from domain.geometry import LabelMap
from domain.labels import LabelConfig

Row = tuple[TaskRow, tuple[AnnotationRow, ...]]
Progress = Callable[[list[Row]], Iterable[Row]]


@dataclass(frozen=True, slots=True)
class AgreementReport:
    """Every pair of annotators and every class, summed over the tasks both annotated.

    ``n_tasks`` counts the tasks with two annotators or more that could be read.
    """

    rows: tuple[Agreement, ...]
    n_tasks: int
    left_out: tuple[LeftOut, ...]


def agreement_report(
    context: AppContext, project_id: int, *, progress: Progress = lambda rows: rows
) -> AgreementReport:
    """Reads Label Studio, then compares the annotators of each task by Dice.

    Of several annotations of one person the newest counts. Tasks that can't be read are left out
    and reported.

    Raises:
        LabelConfigError: The labelling interface has no control nnloop can use.
    """
    read_project(context, project_id)
    with context.store.begin() as session:
        project = projects.get(session, project_id)
        settings = project.settings
        submitted = snapshots.submitted_annotations(session, project_id)
    config = label_config_of(project, settings)
    several = [
        (task, rows_of_task)
        for task, rows_of_task in submitted
        if len({row.completed_by for row in rows_of_task if row.completed_by is not None}) > 1
    ]
    rows: list[Agreement] = []
    left_out: list[LeftOut] = []
    n_tasks = 0
    for task, rows_of_task in progress(several):
        try:
            label_maps = _by_annotator(context, task, rows_of_task, config, settings)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other tasks go on
            left_out.append(entry_of(task.id, error))
            continue
        rows.extend(agreement(label_maps, config.class_values))
        n_tasks += 1
    return AgreementReport(pooled(rows), n_tasks, tuple(left_out))


def _by_annotator(
    context: AppContext,
    task: TaskRow,
    rows: tuple[AnnotationRow, ...],
    config: LabelConfig,
    settings: ProjectSettings,
) -> dict[int, LabelMap]:
    newest = {a.completed_by: a for a in rows if a.completed_by is not None}
    height, width = load_image(context, task, config).shape[:2]
    with context.store.begin() as session:
        predicted = predicted_regions(session, rows)
    return {
        person: annotation_to_label_map(
            Annotation(id=row.id, task_id=task.id, result=row.result),
            config,
            (int(height), int(width)),
            settings=read_settings_of(settings),
            predicted=predicted,
        )[0]
        for person, row in newest.items()
    }
