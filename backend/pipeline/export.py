"""Exports a project's labelled tasks as an nnU-Net raw data set."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.pipeline.context import AppContext
from backend.pipeline.images import load_image
from backend.pipeline.sync import sync_project
from backend.store import projects, snapshots
from backend.store.models import AnnotationRow, TaskRow
from converters.images import write_png
from converters.label_config import parse_label_config
from converters.label_studio import annotation_to_label_map
from domain.annotation import Annotation, LeftOut
from domain.case import case_id_of_task
from domain.errors import StackError, TaskError
from training.cases import read_image, with_channels
from training.files import write_json

FORMATS = ("nnunet",)

Row = tuple[TaskRow, AnnotationRow]
Progress = Callable[[list[Row]], Iterable[Row]]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """How many cases were written, and what was left out and why."""

    done: int
    left_out: tuple[LeftOut, ...]


def export_project(
    context: AppContext,
    project_id: int,
    out: Path,
    *,
    progress: Progress = lambda rows: rows,
) -> ExportReport:
    """Reads Label Studio, then writes imagesTr/, labelsTr/ and dataset.json (nnU-Net v2's format).

    Grey and colour images in one project are all written as colour. Tasks that can't be used are
    left out and reported; files are written whole or not at all.

    Raises:
        StackError: The folder can't be written.
        LabelConfigError: The labelling interface has no usable polygon control.
    """
    sync_project(context, project_id)
    with context.store.begin() as session:
        project = projects.get(session, project_id)
        rows = snapshots.current_annotations(session, project_id)
        skipped = snapshots.skipped_tasks(session, project_id)
    config = parse_label_config(project.label_config)
    left_out: list[LeftOut] = []
    color: set[str] = set()
    cases: list[str] = []
    try:
        for name in ("imagesTr", "labelsTr"):
            (out / name).mkdir(parents=True, exist_ok=True)
        for task, annotation in progress(rows):
            case_id = case_id_of_task(task.id)
            try:
                image = load_image(context.label_studio, task, config)
                label_map, regions_left_out = annotation_to_label_map(
                    Annotation(id=annotation.id, task_id=task.id, result=annotation.result),
                    config,
                    (int(image.shape[0]), int(image.shape[1])),
                )
            except TaskError as error:
                left_out.append(
                    LeftOut(error.task_id, error.reason, f"{error} {error.remedy}".strip())
                )
                continue
            left_out.extend(regions_left_out)
            write_png(_image_path(out, case_id), image)
            write_png(out / "labelsTr" / f"{case_id}.png", label_map)
            cases.append(case_id)
            if image.ndim == 3:
                color.add(case_id)
        if color:
            for case_id in cases:
                if case_id not in color:
                    _make_color(_image_path(out, case_id))
        write_json(
            out / "dataset.json", _dataset_json(config.class_values, len(cases), bool(color))
        )
    except OSError as error:
        raise StackError(
            f"{out} can't be written: {error.strerror}.",
            remedy="Check the folder's rights and the free space.",
        ) from error
    left_out.extend(
        LeftOut(task_id, "skipped", f"Task {task_id} was skipped by its annotator.")
        for task_id in skipped
    )
    return ExportReport(len(cases), tuple(left_out))


def _image_path(out: Path, case_id: str) -> Path:
    return out / "imagesTr" / f"{case_id}_0000.png"


def _make_color(path: Path) -> None:
    write_png(path, with_channels(read_image(path), 3))


def _dataset_json(classes: tuple[str, ...], n_cases: int, is_color: bool) -> dict[str, Any]:
    channels = ["R", "G", "B"] if is_color else ["grey"]
    return {
        "channel_names": {str(i): name for i, name in enumerate(channels)},
        "labels": {"background": 0, **{name: i for i, name in enumerate(classes, start=1)}},
        "numTraining": n_cases,
        "file_ending": ".png",
    }
