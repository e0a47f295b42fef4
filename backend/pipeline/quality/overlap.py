"""Overlap of a prediction, as it was pushed, with what people made of it."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_map_of, label_names_of, read_settings_of
from backend.pipeline.labels.of_version import classes_of_version, reused_names, without
from backend.settings import ProjectSettings
from backend.store.models import AnnotationRow, JsonDict, PredictionRow, ProjectRow, VersionRow
from converters.label_studio.config.shape_labels import id_of
from converters.label_studio.config.sparse_labels import as_predicted
from converters.label_studio.predicted import kind_of, label_of, labels_by_id
from converters.label_studio.read import annotation_to_label_map
from domain.annotation import Annotation
from domain.errors import NnloopError
from domain.labels import LabelClass, LabelConfig, LabelGroup
from training.evaluation import ClassDice, named_dice

logger = logging.getLogger(__name__)

MOST_PX = 2**23
"""Larger images are compared at a smaller size: a Dice needs no more."""

UNKNOWN_PX = 1024
"""Side on which regions are compared of which nobody says how large their image is."""


@dataclass(frozen=True, slots=True)
class ShownBy:
    """What a version showed people, in the words of its project as it is now.

    Attributes:
        config: The project's interface.
        own_config: The same, less labels by which the version means another class.
        classes: Those it predicts, as they are called now.
        settings: The project's.
    """

    config: LabelConfig
    own_config: LabelConfig
    classes: frozenset[str]
    settings: ProjectSettings

    @classmethod
    def version(
        cls, session: Session, project: ProjectRow, config: LabelConfig, row: VersionRow
    ) -> ShownBy:
        """Of one version."""
        names = label_names_of(project).current_names(classes_of_version(session, row))
        reused = reused_names(session, project, row)
        return cls(config, without(config, reused), frozenset(names) - reused, project.settings)

    def dice(
        self,
        prediction: PredictionRow,
        annotations: Sequence[AnnotationRow],
        predicted: Sequence[JsonDict],
    ) -> ClassDice | None:
        """Of the classes that version and project share; None where one side can't be read.

        None as well where they share no class: nothing is compared then, and that is not perfect.

        Args:
            prediction: What was pushed.
            annotations: Of its task, one or more; several are combined by the project's policy.
            predicted: ``predicted_regions`` of these annotations.
        """
        values = self.config.class_values
        result, unread = _readable(prediction.result, self.own_config.group)
        common = [value for value in values if value in self.classes - unread]
        if not common or "" in unread:
            return None
        size_hw = _size_of([prediction.result, *(row.result for row in annotations)])
        if size_hw is None:
            return dict.fromkeys(common)  # nothing there, and nothing predicted
        shown = Annotation(0, prediction.task_id, result)
        config = _with_classes(as_predicted(self.own_config), result)
        try:
            truth, _ = label_map_of(annotations, self.config, size_hw, self.settings, predicted)
            ours, _ = annotation_to_label_map(
                shown, config, size_hw, settings=read_settings_of(self.settings)
            )
        except NnloopError as error:
            logger.info("Task %d can't be compared: %s", prediction.task_id, error)
            return None
        found = named_dice(ours, truth, values)
        return {value: found[value] for value in common}


def _readable(
    result: Sequence[JsonDict], group: LabelGroup
) -> tuple[list[JsonDict], frozenset[str]]:
    """What of a prediction the controls can still read, and the classes of the rest; "" for any.

    A control may have another name by now, or draw something else. Of a class that was predicted
    in a form that nobody can read any more it is not known where it was predicted.
    """
    names = labels_by_id(result)
    kept: list[JsonDict] = []
    unread: set[str] = set()
    for entry in result:
        control = group.control_by_name(str(entry.get("from_name")))
        is_drawn = kind_of(entry) is not None
        if is_drawn and (control is None or control.region_type != entry.get("type")):
            name = names.get(id_of(entry)) or label_of(entry)
            found = group.class_by_value(name)
            unread.add(found.value if found else name)
        else:
            kept.append(entry)
    return kept, frozenset(unread)


def _with_classes(config: LabelConfig, result: Sequence[JsonDict]) -> LabelConfig:
    """An interface with the classes too that a prediction has and it lacks, behind its own.

    They are compared with nothing, but hide what they lie over.
    """
    group = config.group
    lost = [
        name
        for name in sorted(_labels_in(result) - {"", *group.dropped_values})
        if group.class_by_value(name) is None
    ]
    first = max((c.index for c in group.classes), default=0) + 1
    classes = tuple(LabelClass(index, name) for index, name in enumerate(lost, start=first))
    return replace(config, group=replace(group, classes=(*group.classes, *classes)))


def _labels_in(result: Sequence[JsonDict]) -> set[str]:
    """The labels of regions; of those that have no id, too."""
    return {*labels_by_id(result).values(), *(label_of(e) for e in result if not id_of(e))}


def _size_of(results: Sequence[Sequence[JsonDict]]) -> tuple[int, int] | None:
    """(height, width) in pixels on which any of the regions was drawn; None without regions.

    What a program submitted need not say it, or says 512.0. Then shapes, which are in percent,
    are drawn on a square: their shares of it are those of the image.
    """
    entries = [entry for result in results for entry in result if isinstance(entry, dict)]
    for entry in entries:
        height, width = _px(entry.get("original_height")), _px(entry.get("original_width"))
        if min(height, width) > 0:
            smaller = min(1.0, math.sqrt(MOST_PX / (height * width)))
            return max(1, round(height * smaller)), max(1, round(width * smaller))
    return (UNKNOWN_PX, UNKNOWN_PX) if entries else None


def _px(side: object) -> int:
    """0 for what is no whole number of pixels."""
    return int(side) if isinstance(side, int | float) and side == side // 1 else 0
