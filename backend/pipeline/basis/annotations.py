"""The annotations of a task as one label map, by the project's interface and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy.orm import Session

from backend.settings import ProjectSettings
from backend.store.models import AnnotationRow, JsonDict, ProjectRow
from backend.store.tasks import predictions
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.config.sparse_labels import SparseRules, with_sparse_labels
from converters.label_studio.predicted import needs_predictions
from converters.label_studio.read import annotation_to_label_map
from converters.label_studio.regions.read_settings import DRAWING_RULES, ReadSettings
from converters.label_studio.sparse import require_known, sparse_reading
from converters.painting import order
from converters.painting.combining import combine, rule_of
from domain.annotation import Annotation, LeftOut
from domain.errors import LabelConfigError
from domain.geometry import LabelMap
from domain.labels import LabelConfig, LabelNames

SPARSE_SETTINGS = ("ignore_label", "background_label", "unlabelled", "unlabelled_choice")
"""The settings that say of which pixels nothing is known."""

TRUTH_SETTINGS = (
    "annotator_policy",
    "keypoints",
    "line_width_px",
    "label_priority",
    *SPARSE_SETTINGS,
)
"""The settings that shape label maps."""


def label_config_of(project: ProjectRow, settings: ProjectSettings) -> LabelConfig:
    """The project's labelling interface, with the channels its settings name.

    Its classes answer to the names they had before people renamed them (``label_mapping``); labels
    that the settings take for no classes are none.

    Raises:
        LabelConfigError: It can't be used, or not with these settings.
    """
    return label_config_with(project.label_config, settings, project.label_mapping)


def label_config_with(
    xml: str, settings: ProjectSettings, mapping: Mapping[str, str] = MappingProxyType({})
) -> LabelConfig:
    """``label_config_of`` a project that is not connected yet, or shown with another interface.

    Args:
        xml: The labelling interface.
        settings: The project's.
        mapping: Its label mapping.

    Raises:
        LabelConfigError: As ``label_config_of``.
    """
    config = parse_label_config(xml, channels=settings.channels)
    named = LabelNames(mapping, config.class_values).applied_to(config)
    return with_sparse_labels(named, sparse_rules_of(settings))


def interface_of(project: ProjectRow) -> LabelConfig:
    """The project's labelling interface as annotators have it: every label is a class of it.

    For names alone: it can also be read where the settings name a label that was renamed since.

    Raises:
        LabelConfigError: It can't be used, or not with the channels of the settings.
    """
    config = parse_label_config(project.label_config, channels=project.settings.channels)
    return LabelNames(project.label_mapping, config.class_values).applied_to(config)


def sparse_rules_of(settings: ProjectSettings) -> SparseRules:
    """What the project's settings say about pixels that teach nothing."""
    return SparseRules(
        settings.ignore_label,
        settings.background_label,
        settings.unlabelled,
        settings.unlabelled_choice,
    )


def label_names_of(project: ProjectRow) -> LabelNames:
    """What the project's classes, also those of its versions, are called now.

    A class answers to its title too, as it does in annotations.
    """
    try:
        config = interface_of(project)
    except LabelConfigError:
        return LabelNames(project.label_mapping)  # the mapping alone says it
    # A title that is another class's name says nothing: names go before titles.
    titles = {c.title: c.value for c in config.group.classes if c.title not in config.class_values}
    titles.pop("", None)
    return LabelNames({**project.label_mapping, **titles}, config.class_values)


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


def reading_of(config: LabelConfig, settings: ProjectSettings) -> list[Any]:
    """All but annotations and classes that shapes their label maps, as a JSON value.

    Another value, another truth: what was drawn or measured by the old one counts no more.
    """
    return [
        DRAWING_RULES,
        order.RULE,
        rule_of(settings.annotator_policy),
        settings.keypoints,
        settings.line_width_px,
        [getattr(config.group.class_by_value(n), "value", n) for n in settings.label_priority],
        sorted(config.group.dropped_values),
        *sparse_reading(config.group),
    ]


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
        (height, width) uint8 label map, ``config.group.ignore_index`` where nothing is known, and
        notes on regions.

    Raises:
        AnnotationError: one of the annotations can't be read, it names which; reason
            ``all_ignored``: nothing is known of any pixel.
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
    require_known(combined, config.group, annotations[-1].task_id)
    return combined, tuple(notes)
