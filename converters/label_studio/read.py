"""Label Studio's result JSON -> shapes in pixels and label maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np

from converters.addresses.pages import OTHER_PAGE, other_page
from converters.label_studio.config.shape_labels import (
    id_of,
    in_control_order,
    label_names,
    labels_by_id,
)
from converters.label_studio.lost_regions import (
    is_drawn,
    reason_of_other,
    require_first_page,
    require_some,
)
from converters.label_studio.predicted import Hands, is_marked
from converters.label_studio.region_types import (
    LABELS_TYPE,
    RegionType,
    region_type_by_name,
    region_type_of_value,
)
from converters.label_studio.regions import READERS, Drawing, RegionError, Where
from converters.label_studio.regions.drawn_size import REMEDIES, drawn_size_hw
from converters.label_studio.regions.read_settings import ReadSettings
from converters.label_studio.sparse import is_choice, label_map_of_shapes
from converters.painting.order import Drawn, class_ranks, in_painting_order
from converters.painting.rasterize import covers_a_pixel, hidden_shapes
from converters.painting.spans import crossed_spans, spans_to_mask
from domain.annotation import Annotation, LeftOut
from domain.errors import AnnotationError
from domain.geometry import LabelMap, Shape
from domain.labels import Control, LabelClass, LabelConfig
from domain.text import shown

Shapes = tuple[tuple[int, Shape], ...]
"""(class integer, shape in pixels), in painting order."""

_DEFAULTS = ReadSettings()


def annotation_to_label_map(
    annotation: Annotation,
    config: LabelConfig,
    size_hw: tuple[int, int],
    *,
    settings: ReadSettings = _DEFAULTS,
    predicted: Sequence[Mapping[str, Any]] = (),
) -> tuple[LabelMap, tuple[LeftOut, ...]]:
    """Paints an annotation: what a person drew or changed over what was left as predicted.

    Among equals later regions paint over earlier ones, unless a priority is set.

    Args:
        annotation: as Label Studio holds it; an empty result is a map of background.
        config: the project's labelling configuration.
        size_hw: (height, width) in pixels of the real image as browsers show it.
        settings: how regions are read.
        predicted: as ``annotation_to_shapes``.

    Returns:
        (height, width) uint8 label map, ``config.group.ignore_index`` where nothing is known, and
        notes on regions, as ``annotation_to_shapes``.

    Raises:
        AnnotationError: as ``annotation_to_shapes``; reason ``regions_lost``: none of its regions
            covers a pixel.
        LabelConfigError: as ``annotation_to_shapes``.
    """
    shapes, notes = annotation_to_shapes(
        annotation, config, size_hw, settings=settings, predicted=predicted
    )
    require_some(annotation, shapes, notes)
    return label_map_of_shapes(shapes, size_hw, config.group, annotation.result), notes


def annotation_to_shapes(
    annotation: Annotation,
    config: LabelConfig,
    size_hw: tuple[int, int],
    *,
    settings: ReadSettings = _DEFAULTS,
    predicted: Sequence[Mapping[str, Any]] = (),
) -> tuple[Shapes, tuple[LeftOut, ...]]:
    """Reads the regions of an annotation: every type, in both spellings.

    Percentages are taken of ``size_hw``, whatever size the region names: they scale with the image.
    A shape is cut off at the image's border when it is painted; its corners stay where they are,
    also beyond it. ``image_rotation`` is a view setting and moves nothing. A keyhole ring stays one
    ring; the even-odd rule leaves its hole open. A shape too thin to cover a pixel centre marks the
    pixels that its outline crosses. Of a task with several pages only the first is read.

    Of a shape that several controls labelled, ``<Labels>`` among them, the label of the first in
    the configuration counts, wherever it stands in the result.

    Args:
        annotation: as Label Studio holds it.
        config: the project's labelling configuration.
        size_hw: (height, width) in pixels of the real image as browsers show it.
        settings: how regions are read.
        predicted: entries of the predictions known for the task, as Label Studio has them; needed
            for regions predicted by other means than nnloop, or by an earlier one.

    Returns:
        The shapes in painting order, and a note on every entry of the result that did not become
        one: reasons ``other_control``, ``unknown_control``, ``other_image``, ``other_page``,
        ``degenerate_polygon``, ``empty_region``, ``outside_image``, ``keypoint``,
        ``negative_prompt``, ``no_shape``, ``duplicate_region``, ``dropped_label``.
        Of a region that became one: ``thin_marked`` (it marks the pixels it crosses),
        ``extra_label`` (its first label counts), ``hidden_region`` (others paint over all of it).

    Raises:
        AnnotationError: reason ``skipped`` (the annotator declined), ``other_page`` (all that was
            drawn lies on other pages, so nothing is known of the first), ``unknown_label`` (the
            configuration lacks it, or the region has none), ``size_mismatch`` (the region was drawn
            on the image turned by 90 degrees), ``malformed_region``, ``too_large``.
        LabelConfigError: the priority names a class the configuration lacks.
    """
    if annotation.was_cancelled:
        raise AnnotationError(
            annotation.task_id,
            "skipped",
            f"annotation {annotation.id} is a skip and says nothing about the image.",
            remedy="Leave skipped tasks out.",
        )
    ranks = class_ranks(config.group, settings.priority)
    reader = _Reader(annotation, config, size_hw, settings, predicted)
    for position, entry in enumerate(in_control_order(annotation.result, config.group)):
        reader.read(position, entry)
    require_first_page(annotation, reader.drawn, reader.notes)
    drawn = in_painting_order(reader.drawn, ranks)
    shapes = tuple((region.class_index, region.shape) for region in drawn)
    for hidden in hidden_shapes(shapes, size_hw):
        reader.note_hidden(drawn[hidden])
    return shapes, tuple(reader.notes)


class _Reader:
    """Reads the entries of one result, and says in its errors which one it is."""

    def __init__(
        self,
        annotation: Annotation,
        config: LabelConfig,
        size_hw: tuple[int, int],
        settings: ReadSettings,
        predicted: Sequence[Mapping[str, Any]],
    ) -> None:
        self.drawn: list[Drawn] = []
        self.notes: list[LeftOut] = []
        self._annotation = annotation
        self._config = config
        self._group = config.group
        self._size_hw = size_hw
        self._settings = settings
        self._labels = labels_by_id(annotation.result, self._is_label)
        self._hands = Hands(annotation.result, predicted)
        self._drawn_ids = {
            id_of(e) for e in annotation.result if isinstance(e, dict) and self._control_of(e)
        }
        self._bare_ids = {
            id_of(e)
            for e in annotation.result
            if isinstance(e, dict) and (control := self._control_of(e)) and control.labels_name
        }
        self._seen: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        self._entry: dict[str, Any] = {}
        self._id = ""
        self._name = ""

    def read(self, position: int, entry: object) -> None:
        """Adds the entry's shape and notes."""
        self._name = f"number {position + 1}"
        if not isinstance(entry, dict):
            raise self._malformed(f"is no object but {type(entry).__name__}")
        self._entry = entry
        self._id = id_of(entry)
        if self._id:
            self._name = repr(self._id[:60])
        to_name = entry.get("to_name")
        if to_name in self._config.image_names and to_name not in self._group.to_names:
            reason = "other_image" if is_drawn(entry) else "other_control"
            self._note(reason, f"lies on the image {shown(to_name)}, not the trained one")
            return
        control = self._control_of(entry)
        if control is not None:
            self._read_shape(self._kind_of(control), self._names(control))
        elif self._is_label(entry):
            self._read_label()
        elif not is_choice(entry, self._group):
            kind = entry.get("from_name") or entry.get("type")
            trained = ", ".join(repr(c.name) for c in self._group.controls)
            reason = reason_of_other(entry, self._config)
            self._note(reason, f"belongs to {shown(kind)}; nnloop trains on {trained}")

    def _control_of(self, entry: Mapping[str, Any]) -> Control | None:
        name = entry.get("from_name")
        return self._group.control_by_name(name) if isinstance(name, str) else None

    def _is_label(self, entry: Mapping[str, Any]) -> bool:
        """Whether the entry gives a label to a shape in the spelling with ``<Labels>``."""
        group = self._group
        if entry.get("to_name", group.to_name) not in group.to_names or not any(
            control.labels_name for control in group.controls
        ):
            return False
        if "type" in entry:
            return bool(entry["type"] == LABELS_TYPE)
        value = entry.get("value")  # JSON_MIN drops the type
        return isinstance(value, dict) and LABELS_TYPE in value and self._control_of(entry) is None

    def _kind_of(self, control: Control) -> RegionType:
        expected = region_type_by_name(control.region_type)
        if "type" in self._entry:
            found = region_type_by_name(self._entry["type"])
        else:  # JSON_MIN has none
            found = region_type_of_value(self._value())
        if found is None or found is not expected:
            raise self._malformed(
                f"has the type {shown(self._entry.get('type'))}, not {control.region_type!r}"
            )
        return found

    def _names(self, control: Control) -> object:
        """The label names of a shape: its own, or those of the entry with the same id."""
        value = self._value()
        if not control.labels_name:
            return value.get(control.region_type, [])
        own = value.get(LABELS_TYPE) or []
        if not isinstance(own, list):
            return own
        given = label_names(self._labels.get(self._id, []), control, self._group)
        return [*own, *(name for name in given if name not in own)]

    def _read_label(self) -> None:
        """An entry that only gives a label: the shape with its id has read it already."""
        if self._id and self._id in self._drawn_ids:
            if self._id not in self._bare_ids:  # a shape whose control has labels of its own
                ignored = shown(self._value().get(LABELS_TYPE, []))
                self._note(
                    "extra_label", f"has its class from its own control; ignored were {ignored}"
                )
            return
        value = self._value()
        kind = region_type_of_value(value)
        if kind is None:
            self._note("no_shape", "has a label but no shape")
            return
        if any(drawn == kind.place(value) for _, drawn in self._seen.get(self._id, ())):
            return  # all labels of a shape were read with the first entry that gives one
        bare = next(control for control in self._group.controls if control.labels_name)
        given = self._labels.get(self._id) or [("", value.get(LABELS_TYPE, []))]
        self._read_shape(kind, label_names(given, bare, self._group))

    def _read_shape(self, kind: RegionType, names: object) -> None:
        value = self._value()
        if page := other_page(self._entry, self._config.image_key):
            self._note(OTHER_PAGE, f"lies on {page} of the task; nnloop reads the first page")
            return
        if self._entry.get("is_positive") is False:
            self._note("negative_prompt", "is a negative prompt of a smart tool")
            return
        if kind.kind == "keypoint" and self._settings.keypoint == "leave_out":
            self._note("keypoint", "is a keypoint, which the project's settings leave out")
            return
        if self._is_dropped(names):
            self._note("dropped_label", f"has the label {shown(names[0])}, which is left out")
            return
        label_class, extra = self._class_of(names)
        if kind.kind == "vector" and is_marked(self._id):
            # nnloop draws closed rings only, but the editor opens them unless told `closable`.
            value = value | {"closed": True}
        try:
            drawn_hw = drawn_size_hw(self._entry, self._size_hw)
            where = Where(self._size_hw, drawn_hw, self._settings.line_width_px)
            drawing = READERS[kind.kind](value, where)
        except RegionError as error:
            remedy = REMEDIES.get(error.reason, "Correct or delete it in Label Studio.")
            raise self._error(error.reason, str(error), remedy) from error
        if self._is_repeated(label_class, kind.place(value)):
            return
        if extra:
            self._note("extra_label", f"counts as {label_class.value!r}; ignored were {extra}")
        shape = self._shape_of(drawing)
        if shape is not None:
            stored = names[0] if isinstance(names, list) else label_class.value
            every_name = {stored, *label_class.names, *label_class.former_values}
            is_persons = self._hands.is_persons(
                self._id, self._entry.get("origin"), kind, value, drawn_hw, every_name
            )
            self.drawn.append(Drawn(label_class.index, shape, is_persons, self._id, self._name))

    def _shape_of(self, drawing: Drawing) -> Shape | None:
        if drawing.shape is None:
            self._note(drawing.empty_reason, drawing.empty_words)
            return None
        if not drawing.is_outside:
            if covers_a_pixel(drawing.shape, self._size_hw):
                return drawing.shape
            marked = spans_to_mask(crossed_spans(drawing.outline, self._size_hw), self._size_hw)
            if marked.inside.any():
                self._note(
                    "thin_marked",
                    "is too thin to cover a pixel's centre and was used as the pixels it crosses "
                    f"({np.count_nonzero(marked.inside)})",
                )
                return marked
        self._note("outside_image", "lies outside the image")
        return None

    def _is_repeated(self, label_class: LabelClass, geometry: dict[str, Any]) -> bool:
        """Whether the same id was drawn in the same place before, as once per label."""
        if not self._id:
            return False
        seen = self._seen.setdefault(self._id, [])
        first = next((index for index, drawn in seen if drawn == geometry), None)
        if first is None:
            seen.append((label_class.index, geometry))
            return False
        if first == label_class.index:
            self._note("duplicate_region", "comes twice")
        else:
            counts = self._group.class_by_index(first).value
            self._note("extra_label", f"counts as {counts!r}; ignored was {label_class.value!r}")
        return True

    def _class_of(self, names: object) -> tuple[LabelClass, str]:
        """The class that counts, and the labels that don't, in words."""
        if not isinstance(names, list) or not all(isinstance(x, str) for x in names):
            raise self._malformed(f"has labels that are no list of names: {shown(names)}")
        known = ", ".join(repr(label.value) for label in self._group.labels)
        if not names:
            raise self._error(
                "unknown_label", "has no label", f"Give it one of {known}, or delete it."
            )
        label_class = self._group.class_by_value(names[0])
        if label_class is None:
            # Left out, it would teach background where the annotator drew something.
            raise self._error(
                "unknown_label",
                f"has the label {shown(names[0])}, which the labelling configuration lacks",
                f"Relabel the region with one of {known}, or put the label back.",
            )
        return label_class, ", ".join(shown(x) for x in names[1:])

    def _is_dropped(self, names: object) -> TypeGuard[list[str]]:
        """Whether a person said that regions of this label count as nothing."""
        return (
            isinstance(names, list) and names[:1] != [] and names[0] in self._group.dropped_values
        )

    def _value(self) -> dict[str, Any]:
        value = self._entry.get("value")
        if not isinstance(value, dict):
            raise self._malformed("has no value object")
        return value

    def note_hidden(self, region: Drawn) -> None:
        """Says that other regions leave nothing of one."""
        self._id, self._name = region.region_id, region.name
        label = self._group.class_by_index(region.class_index).value
        self._note("hidden_region", f"({label}) is painted over by others: no pixel of it remains")

    def _note(self, reason: str, what: str) -> None:
        self.notes.append(
            LeftOut(
                task_id=self._annotation.task_id,
                reason=reason,
                message=f"Region {self._name} of annotation {self._annotation.id} {what}.",
                region_id=self._id,
            )
        )

    def _malformed(self, what: str) -> AnnotationError:
        return self._error("malformed_region", what, "Correct or delete it in Label Studio.")

    def _error(self, reason: str, what: str, remedy: str) -> AnnotationError:
        return AnnotationError(
            self._annotation.task_id,
            reason,
            f"region {self._name} of annotation {self._annotation.id} {what}.",
            remedy=remedy,
        )
