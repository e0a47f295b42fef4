"""CaseMeasures: one predicted case against its reference, class by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from domain.geometry import LabelMap
from domain.overlap import overlap
from training.evaluation.dice import image_dice, where_known
from training.evaluation.surface import surface_distances

Spacing = tuple[float, float]
"""(vertical, horizontal) size of a pixel in millimetres."""


class Presence(StrEnum):
    """Which of the two label maps of a case has the class.

    Distances exist for BOTH only: they are infinite for MISSED and INVENTED, undefined for NEITHER.
    """

    BOTH = "both"
    NEITHER = "neither"
    MISSED = "missed"
    INVENTED = "invented"


@dataclass(frozen=True, slots=True)
class ClassMeasures:
    """One class of one case.

    Attributes:
        class_value: Its name.
        presence: MISSED is in the reference only, INVENTED in the prediction only.
        dice: In [0, 1]; 0 for MISSED and INVENTED, None for NEITHER: it says nothing.
        iou: As ``dice``.
        hausdorff95: In the case's unit; None where it is infinite or undefined.
        mean_surface_distance: The same.
        reference_px: Area in pixels.
        predicted_px: Area in pixels.
    """

    class_value: str
    presence: Presence
    dice: float | None
    iou: float | None
    hausdorff95: float | None
    mean_surface_distance: float | None
    reference_px: int
    predicted_px: int


@dataclass(frozen=True, slots=True)
class CaseMeasures:
    """One case; ``spacing_mm`` is None where it is unknown and distances are in pixels.

    ``unions`` are unions of classes; they enter no figure of the case. A volume is one case:
    ``n_slices``, and from each to the next ``slice_mm``.
    """

    case_id: str
    spacing_mm: Spacing | None
    classes: tuple[ClassMeasures, ...]
    unions: tuple[ClassMeasures, ...] = ()
    n_slices: int = 1
    slice_mm: float | None = None

    @property
    def unit(self) -> str:
        """Of its distances: ``mm`` or ``px``."""
        return "px" if self.spacing_mm is None else "mm"

    @property
    def mean_dice(self) -> float:
        """Mean over the classes that say something, in [0, 1]: see ``image_dice``."""
        return image_dice(one.dice for one in self.classes)

    @property
    def mean_iou(self) -> float:
        """As ``mean_dice``."""
        return image_dice(one.iou for one in self.classes)

    @property
    def rank_key(self) -> tuple[float, float, str]:
        """Sorts the worst case first: lowest mean Dice, then largest HD95, then by name."""
        distances = [
            one.hausdorff95 if one.hausdorff95 is not None else float("inf")
            for one in self.classes
            if one.presence is not Presence.NEITHER
        ]
        return self.mean_dice, -max(distances, default=0.0), self.case_id


def measure_case(
    case_id: str,
    predicted: LabelMap,
    reference: LabelMap,
    class_values: Sequence[str],
    spacing_mm: Spacing | None = None,
    unions: Mapping[str, Sequence[int]] | None = None,
    slice_mm: float | None = None,
) -> CaseMeasures:
    """Dice, IoU, HD95 and mean surface distance of every class of a case.

    Args:
        case_id: Names it.
        predicted: (height, width) integers, 0 = background, k = the k-th of ``class_values``; of a
            volume (slice, height, width): overlap counts all of it, and distances are those of
            surfaces in three dimensions.
        reference: The same shape and meaning; what is higher than any class is ignored, in both.
        class_values: One or more names in integer order, background left out.
        spacing_mm: Of both; None gives distances in pixels.
        unions: Name -> integers of classes that are measured as one besides.
        slice_mm: Of a volume, from one slice to the next; None gives distances in pixels.

    Raises:
        ValueError: The shapes differ, or there is no class.
    """
    if predicted.shape != reference.shape:
        raise ValueError(f"label maps differ in shape: {predicted.shape} and {reference.shape}")
    if not class_values:
        raise ValueError("measure_case needs at least one class")
    is_volume = predicted.ndim == 3
    if is_volume and slice_mm is None:
        spacing_mm = None
    sizes: tuple[float, ...] = spacing_mm or (1.0, 1.0)
    if is_volume:
        sizes = (slice_mm if slice_mm is not None and spacing_mm else 1.0, *sizes)
    predicted = where_known(predicted, reference, len(class_values))
    masks = {value: (index,) for index, value in enumerate(class_values, start=1)}

    def measured(value: str, integers: Sequence[int]) -> ClassMeasures:
        in_predicted, in_reference = (_inside(one, integers) for one in (predicted, reference))
        return _measures(value, in_predicted, in_reference, sizes)

    return CaseMeasures(
        case_id,
        spacing_mm,
        tuple(measured(value, integers) for value, integers in masks.items()),
        tuple(measured(value, integers) for value, integers in (unions or {}).items()),
        len(predicted) if is_volume else 1,
        slice_mm if is_volume and spacing_mm else None,
    )


def _inside(label_map: LabelMap, integers: Sequence[int]) -> npt.NDArray[np.bool_]:
    inside: npt.NDArray[np.bool_] = label_map == integers[0]
    for integer in integers[1:]:
        inside |= label_map == integer
    return inside


def _measures(
    value: str,
    in_predicted: npt.NDArray[np.bool_],
    in_reference: npt.NDArray[np.bool_],
    spacing: tuple[float, ...],
) -> ClassMeasures:
    shared = overlap(in_predicted, in_reference)
    presence = _presence(shared.first_px, shared.second_px)
    hausdorff95 = mean = None
    if presence is Presence.BOTH:
        distances = surface_distances(in_predicted, in_reference, spacing)
        hausdorff95, mean = distances.hausdorff95, distances.mean
    return ClassMeasures(
        class_value=value,
        presence=presence,
        dice=shared.dice,
        iou=shared.iou,
        hausdorff95=hausdorff95,
        mean_surface_distance=mean,
        reference_px=shared.second_px,
        predicted_px=shared.first_px,
    )


def _presence(predicted_px: int, reference_px: int) -> Presence:
    if predicted_px and reference_px:
        return Presence.BOTH
    if reference_px:
        return Presence.MISSED
    return Presence.INVENTED if predicted_px else Presence.NEITHER
