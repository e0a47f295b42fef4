"""ExportItem: one task as the formats see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from converters.exports.options import ExportOptions
from converters.images.channels import check_sizes
from converters.images.of_tasks import image_name, longer_names
from converters.images.pixel_spacing import SPACING_KEY, spacing_from
from converters.label_studio.config.sparse_labels import as_predicted
from converters.label_studio.lost_regions import require_some
from converters.label_studio.read import Shapes, annotation_to_shapes
from converters.label_studio.sparse import label_map_of_shapes, require_known
from converters.outlines.contours import parts_of
from converters.painting.combining import choose, combine
from converters.painting.rasterize import polygons_to_label_map
from domain.annotation import Annotation, LeftOut, Task
from domain.errors import AnnotationError, TaskError
from domain.geometry import LabelMap, Pixels
from domain.labels import LabelConfig
from domain.text import shown


@dataclass(frozen=True, slots=True)
class SourceTask:
    """A task to export, with the predictions stored for it (Label Studio's JSON).

    ``predicted`` are the regions of all predictions known for it, whatever their version;
    ``all_predictions`` these predictions. ``n_drafts`` counts what somebody has begun there and
    not submitted, of which nothing else is read; ``n_bare`` predictions of which the export has
    nothing but the id.
    """

    task: Task
    predictions: tuple[dict[str, Any], ...] = field(default=())
    predicted: tuple[dict[str, Any], ...] = field(default=())
    all_predictions: tuple[dict[str, Any], ...] = field(default=())
    n_drafts: int = 0
    n_bare: int = 0


class ExportItem:
    """A task, the annotations that count, and its image when the format asks for it.

    ``stem`` is a file name without ending that no other task of this export has; ``image_name``
    the image's own file name, ``longer_names`` with the folders before it; ``size_hw`` (height,
    width) in pixels, as shown, (0, 0) until it is known. ``as_color``: the set has a colour image,
    so a format that ``follows_color`` writes this one as colour too. What a format leaves out goes
    to ``notes``.
    """

    def __init__(
        self,
        source: SourceTask,
        config: LabelConfig,
        options: ExportOptions,
        stem: str,
        read_image: Callable[[str], Pixels] | None = None,
        own_spacing_mm: Callable[[], tuple[float, float] | None] = lambda: None,
    ) -> None:
        self.task, self.config, self.options = source.task, config, options
        self.predictions = source.predictions
        self.stem, self.size_hw = stem, (0, 0)
        self.image_name = image_name(self.task, config.image_key)
        self.longer_names = longer_names(self.task, config.image_key)
        self.notes: list[LeftOut] = []
        self._predicted = source.predicted
        self._read_image, self._own_spacing_mm = read_image, own_spacing_mm
        self.as_color = False

    @cached_property
    def image(self) -> Pixels | None:
        """(height, width) or (height, width, 3) uint8 or uint16; None when there is none.

        Of several channels the first one's.

        Raises:
            ImageError: It is missing, refused or no image.
        """
        return self._read_image(self.config.image_key) if self._read_image is not None else None

    @property
    def pixels(self) -> Pixels:
        """``image`` of a format that can't do without."""
        assert self.image is not None, "the format must declare that it needs pixels"  # noqa: S101
        return self.image

    @cached_property
    def channels(self) -> tuple[Pixels, ...]:
        """``image``, or the images of all channels in order; empty when there is none.

        Raises:
            ImageError: One is missing, refused or no image, or their sizes differ.
        """
        if self.image is None or self._read_image is None:
            return ()
        rest = {key: self._read_image(key) for key in self.config.image_keys[1:]}
        images = {self.config.image_key: self.image, **rest}
        check_sizes(images, self.task.id)
        return tuple(images.values())

    @cached_property
    def spacing_mm(self) -> tuple[float, float] | None:
        """(vertical, horizontal) size of a pixel: the task's, else its file's, else as asked for.

        None where nobody says it. To be asked for after the image, which is not read again then.
        """
        said = self.task.data.get(SPACING_KEY)
        if said not in (None, ""):
            try:
                return spacing_from(said)
            except ValueError:
                message = (
                    f"Task {self.task.id}: {shown(said)} in its field {SPACING_KEY!r} is no size "
                    "of a pixel in millimetres (row, column), and was not taken."
                )
                self.notes.append(LeftOut(self.task.id, "spacing_unclear", message))
        return self._own_spacing_mm() or self.options.spacing_mm

    @property
    def submitted(self) -> tuple[Annotation, ...]:
        """Every annotation that is no skip, oldest first."""
        return submitted(self.task)

    @cached_property
    def chosen(self) -> tuple[Annotation, ...]:
        """The annotations that the policy takes the mask from, oldest first."""
        return choose(self.submitted, self.options.annotators)

    @property
    def prediction(self) -> dict[str, Any] | None:
        """What stands in for annotations, where nobody has labelled the task."""
        return self.predictions[0] if self.predictions and not self.task.annotations else None

    @cached_property
    def label_map(self) -> LabelMap:
        """(height, width) uint8 by the policy on annotators; without any, as predicted.

        Ignored pixels have the integer after the last class.

        Raises:
            AnnotationError: No annotation can be used, or all pixels are ignored.
        """
        if self.prediction is not None:
            return polygons_to_label_map(self._predicted_shapes(), self.size_hw)
        group = self.config.group
        found = [
            label_map_of_shapes(shapes, self.size_hw, group, annotation.result)
            for annotation, shapes in self._shapes_of(self.chosen)
        ]
        label_map = combine(found, self.options.annotators, len(group.classes))
        require_known(label_map, group, self.task.id)
        return label_map

    def shapes(self) -> Shapes:
        """(class integer, shape) of every region in painting order, by the policy on annotators.

        Of one annotation the shapes as they were drawn, overlaps kept; of several the outlines of
        the combined label map. Labels that are no classes are left out, and what they cover.

        Raises:
            AnnotationError: No annotation can be used, or all pixels are ignored.
        """
        self._require_known()
        if len(self.chosen) == 1:
            return self._of_classes(self._shapes_of(self.chosen, keeps_hidden=True)[0][1])
        return self._outlines(self.label_map)

    def all_shapes(self) -> list[tuple[Annotation, Shapes]]:
        """The shapes of every submitted annotation; one that can't be used is noted.

        Raises:
            AnnotationError: None can be used, or all pixels are ignored.
        """
        self._require_known()
        found = self._shapes_of(self.submitted, keeps_hidden=True)
        return [(annotation, self._of_classes(shapes)) for annotation, shapes in found]

    def _require_known(self) -> None:
        """Without a single pixel that is known an image would look as if nothing were in it."""
        if self.config.group.has_ignore:
            _ = self.label_map

    def _of_classes(self, shapes: Shapes) -> Shapes:
        """As they were drawn; their outlines where a label that is none lies over one of them."""
        group = self.config.group
        kept = tuple(one for one in shapes if one[0] <= len(group.classes))
        if len(kept) == len(shapes):
            return kept
        label_map = label_map_of_shapes(shapes, self.size_hw, group, ())
        drawn = polygons_to_label_map(kept, self.size_hw)
        return kept if (label_map == drawn)[drawn > 0].all() else self._outlines(label_map)

    def _outlines(self, label_map: LabelMap) -> Shapes:
        return tuple(
            (label_class.index, part)
            for label_class in self.config.group.classes
            for part in parts_of(label_map == label_class.index)
        )

    def _predicted_shapes(self) -> Shapes:
        """Those of the prediction; none is a prediction too."""
        assert self.prediction is not None  # noqa: S101 - the caller looked
        as_drawn = Annotation(0, self.task.id, self.prediction["result"])
        config = as_predicted(self.config)
        shapes, notes = annotation_to_shapes(
            as_drawn, config, self.size_hw, settings=self.options.reading
        )
        self.notes.extend(notes)
        return shapes

    def _shapes_of(
        self, annotations: Sequence[Annotation], *, keeps_hidden: bool = False
    ) -> list[tuple[Annotation, Shapes]]:
        found = []
        faults: list[AnnotationError] = []
        for annotation in annotations:
            try:
                shapes, notes = annotation_to_shapes(
                    annotation,
                    self.config,
                    self.size_hw,
                    settings=self.options.reading,
                    predicted=self._predicted,
                )
                require_some(annotation, shapes, notes)
            except AnnotationError as error:
                faults.append(error)
                continue
            # Where overlaps are kept, a region that others hide is written like any.
            self.notes.extend(
                note for note in notes if not (keeps_hidden and note.reason == "hidden_region")
            )
            found.append((annotation, shapes))
        if faults and not found:
            raise faults[-1]
        self.notes.extend(left_out(error) for error in faults)
        return found


def submitted(task: Task) -> tuple[Annotation, ...]:
    """Every annotation of a task that is no skip, oldest first."""
    return tuple(a for a in task.annotations if not a.was_cancelled)


def left_out(error: TaskError) -> LeftOut:
    """The error as an entry of the report."""
    return LeftOut(error.task_id, error.reason, error.in_full)
