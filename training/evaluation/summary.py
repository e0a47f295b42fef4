"""Evaluation: the measures of a set of cases, the worst first, and their summary per class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from training.evaluation.case_measures import CaseMeasures, ClassMeasures, Presence
from training.evaluation.dice import mean_over_classes

MIXED_UNITS = (
    "Some cases have a spacing and some have none, so their distances can't be averaged: give "
    "the size of a pixel with --spacing."
)


@dataclass(frozen=True, slots=True)
class Problem:
    """A case, or a part of it, that could not be measured; ``reason`` is a fixed word."""

    case_id: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Spread:
    """A measure over ``n`` cases. Without any all are None; ``sd`` (sample) needs two."""

    n: int
    mean: float | None = None
    median: float | None = None
    sd: float | None = None
    lowest: float | None = None
    highest: float | None = None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of finite values."""
        if not values:
            return cls(0)
        array = np.asarray(values, dtype=np.float64)
        return cls(
            n=len(values),
            mean=float(array.mean()),
            median=float(np.median(array)),
            sd=float(array.std(ddof=1)) if len(values) > 1 else None,
            lowest=float(array.min()),
            highest=float(array.max()),
        )


@dataclass(frozen=True, slots=True)
class ClassSummary:
    """One class over all cases.

    Attributes:
        class_value: Its name.
        n_cases: All cases measured = n_both + n_neither + n_missed + n_invented.
        n_both: Cases where reference and prediction have the class: only these have distances.
        n_neither: Cases without it in either: they say nothing about it and enter no figure.
        n_missed: Cases where only the reference has it: Dice 0, infinite distance.
        n_invented: Cases where only the prediction has it: Dice 0, infinite distance.
        dice: Over the cases that say something: all but n_neither, as nnU-Net averages.
        iou: The same.
        hausdorff95: Over the n_both cases; n = 0 where units are mixed.
        mean_surface_distance: The same.
    """

    class_value: str
    n_cases: int
    n_both: int
    n_neither: int
    n_missed: int
    n_invented: int
    dice: Spread
    iou: Spread
    hausdorff95: Spread
    mean_surface_distance: Spread


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measures of a set of cases.

    Attributes:
        cases: The worst first: see ``CaseMeasures.rank_key``.
        classes: In integer order.
        unions: Of the unions of classes that were measured; they enter no other figure.
        images: The cases' own figures, ``CaseMeasures.mean_dice``, over all cases.
        n_empty: Cases with nothing in the reference.
        n_left_empty: Those of them where nothing was predicted: their own figure is 1.
        unit: Of all distances: ``mm``, ``px``, or ``mixed``.
        problems: What could not be measured and why.
        remarks: Sentences about the whole.
    """

    cases: tuple[CaseMeasures, ...]
    classes: tuple[ClassSummary, ...]
    images: Spread
    n_empty: int
    n_left_empty: int
    unit: str
    problems: tuple[Problem, ...] = field(default=())
    remarks: tuple[str, ...] = field(default=())
    unions: tuple[ClassSummary, ...] = field(default=())

    @property
    def mean_dice(self) -> float | None:
        """Mean of the mean Dice of the classes that have one; None where none has."""
        return mean_over_classes({one.class_value: one.dice.mean for one in self.classes})

    def to_json(self, n_worst: int = 10) -> dict[str, Any]:
        """A JSON value: the summary per class, the worst cases, problems and remarks."""
        return {
            "n_cases": len(self.cases),
            "unit": self.unit,
            "mean_dice": self.mean_dice,
            "dice_of_images": asdict(self.images),
            "n_empty": self.n_empty,
            "n_left_empty": self.n_left_empty,
            "classes": [asdict(one) for one in self.classes],
            **({"unions": [asdict(one) for one in self.unions]} if self.unions else {}),
            "worst": [
                {
                    "rank": rank,
                    "case_id": case.case_id,
                    "mean_dice": case.mean_dice,
                    "classes": [asdict(one) for one in case.classes],
                }
                for rank, case in enumerate(self.cases[:n_worst], start=1)
            ],
            "problems": [asdict(problem) for problem in self.problems],
            "remarks": list(self.remarks),
        }


def evaluate(
    cases: Iterable[CaseMeasures],
    class_values: Sequence[str],
    problems: Iterable[Problem] = (),
    remarks: Iterable[str] = (),
) -> Evaluation:
    """Orders the cases and summarises them per class.

    Args:
        cases: Each with the classes of ``class_values`` in that order.
        class_values: Names in integer order.
        problems: Cases that could not be measured.
        remarks: Sentences about the whole.
    """
    ordered = tuple(sorted(cases, key=lambda case: case.rank_key))
    units = {case.unit for case in ordered}
    unit = units.pop() if len(units) == 1 else "mixed" if units else "px"
    summaries = tuple(
        _summary(value, [case.classes[position] for case in ordered], unit)
        for position, value in enumerate(class_values)
    )
    names = [one.class_value for one in ordered[0].unions] if ordered else []
    unions = tuple(
        _summary(name, [case.unions[position] for case in ordered], unit)
        for position, name in enumerate(names)
    )
    said = (*remarks, MIXED_UNITS) if unit == "mixed" else tuple(remarks)
    empty = [case for case in ordered if not any(one.reference_px for one in case.classes)]
    return Evaluation(
        cases=ordered,
        classes=summaries,
        images=Spread.of([case.mean_dice for case in ordered]),
        n_empty=len(empty),
        n_left_empty=sum(not any(one.predicted_px for one in case.classes) for case in empty),
        unit=unit,
        problems=tuple(problems),
        remarks=said,
        unions=unions,
    )


def _summary(value: str, rows: list[ClassMeasures], unit: str) -> ClassSummary:
    count = {presence: sum(row.presence is presence for row in rows) for presence in Presence}
    comparable = rows if unit != "mixed" else []
    return ClassSummary(
        class_value=value,
        n_cases=len(rows),
        n_both=count[Presence.BOTH],
        n_neither=count[Presence.NEITHER],
        n_missed=count[Presence.MISSED],
        n_invented=count[Presence.INVENTED],
        dice=Spread.of([row.dice for row in rows if row.dice is not None]),
        iou=Spread.of([row.iou for row in rows if row.iou is not None]),
        hausdorff95=Spread.of(
            [row.hausdorff95 for row in comparable if row.hausdorff95 is not None]
        ),
        mean_surface_distance=Spread.of(
            [
                row.mean_surface_distance
                for row in comparable
                if row.mean_surface_distance is not None
            ]
        ),
    )
