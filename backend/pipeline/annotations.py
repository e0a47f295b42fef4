"""The annotations of a task as one label map, by the project's interface and settings."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from backend.settings import ProjectSettings
from backend.store import predictions
from backend.store.models import AnnotationRow, JsonDict, ProjectRow
from converters.agreement import combine
from converters.label_config import parse_label_config
from converters.label_studio import ReadSettings, annotation_to_label_map
from converters.predicted import needs_predictions
from domain.annotation import Annotation, LeftOut
from domain.geometry import LabelMap
from domain.labels import LabelConfig


def label_config_of(project: ProjectRow, settings: ProjectSettings) -> LabelConfig:
    """The project's labelling interface, with the channels its settings name.

    Raises:
        LabelConfigError: It can't be used, or not with these channels.
    """
    return parse_label_config(project.label_config, channels=settings.channels)


def read_settings_of(settings: ProjectSettings) -> ReadSettings:
    """How the project's regions are read."""
    return ReadSettings(settings.keypoints, settings.line_width_px, settings.label_priority)


def predicted_regions(session: Session, annotations: Sequence[AnnotationRow]) -> list[JsonDict]:
    """The stored predictions that tell which regions of a task's annotations were changed.

    None where the annotations tell it themselves: nearly always.
    """
    if not any(needs_predictions(row.result) for row in annotations):
        return []
    return predictions.results_of_task(session, annotations[0].task_id)


def label_map_of(
    annotations: Sequence[AnnotationRow],
    config: LabelConfig,
    size_hw: tuple[int, int],
    settings: ProjectSettings,
    predicted: Sequence[JsonDict] = (),
) -> tuple[LabelMap, tuple[LeftOut, ...]]:
    """Reads the annotations that the policy chose and combines them.

    Args:
        annotations: of one task, oldest first, one or more; none of them a skip.
        config: the project's labelling configuration.
        size_hw: (height, width) in pixels of the image.
        settings: the project's.
        predicted: ``predicted_regions`` of these annotations.

    Returns:
        (height, width) uint8 label map, and notes on regions.

    Raises:
        AnnotationError: one of the annotations can't be read; it names which.
        LabelConfigError: the label priority names a class the configuration lacks.
    """
    label_maps: list[LabelMap] = []
    notes: list[LeftOut] = []
    for row in annotations:
        annotation = Annotation(id=row.id, task_id=row.task_id, result=row.result)
        label_map, of_regions = annotation_to_label_map(
            annotation,
            config,
            size_hw,
            settings=read_settings_of(settings),
            predicted=predicted,
        )
        label_maps.append(label_map)
        notes.extend(of_regions)
    combined = combine(label_maps, settings.annotator_policy, len(config.group.classes))
    return combined, tuple(notes)
