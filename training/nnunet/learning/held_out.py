"""HeldOutCases: full-image Dice of the cases a fold does not train on."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from converters.bookkeeping.files import read_json
from converters.images.image_pixels import write_png
from domain.doubts import DoubtsPerCase
from domain.prediction import most_probable
from training.case_files import read_case_image, read_image
from training.evaluation import (
    ClassDice,
    DicePerCase,
    mean_over_cases,
    mean_over_images,
    named_dice,
)
from training.evaluation.label_doubts import label_doubts, typical_objects
from training.evaluation.soft_dice import ExpectedDice
from training.folds.film import FilmKeeper
from training.folds.sample import sample_of
from training.folds.spec import FoldSpec
from training.nnunet.inference.predictor import FoldPredictor
from training.symmetries.symmetries import Swap

_TIMED_CASES = 4
_TIMED_S = 1.0
"""Cases timed before training: images differ in size, but no more than about a second of them."""


@dataclass(frozen=True, slots=True)
class SampleDice:
    """Full-image Dice of a sample of held-out cases; by default nothing was measured.

    Attributes:
        per_class: Class -> mean over the sample, or None.
        trend: See ``trend_of``.
        seconds: What measuring took.
    """

    per_class: ClassDice | None = None
    trend: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class HeldOutDice:
    """What held-out cases came to.

    Attributes:
        per_case: Case id -> class -> Dice in [0, 1] of the full-size image, None where it is
            absent.
        expected: Case id -> what the prediction said of itself.
        cases_of_class: Class -> cases whose truth shows it.
        doubts: Case id -> what may be wrong with its label map.
    """

    per_case: DicePerCase
    expected: dict[str, ExpectedDice]
    cases_of_class: dict[str, int]
    doubts: DoubtsPerCase


def trend_of(dice_per_case: DicePerCase) -> float | None:
    """One figure in [0, 1] that can be compared from epoch to epoch; None where nothing is said.

    The mean over images, not over classes: a class that no image of the sample has comes into the
    means over classes, with 0, at any epoch in which one stray pixel of it is predicted, and leaves
    them again. Here the same images count at each epoch, and such a pixel costs one of them. Where
    there is nothing in any of them, and nothing was predicted, no trend can be seen.
    """
    if all(score is None for scores in dice_per_case.values() for score in scores.values()):
        return None
    return mean_over_images(dice_per_case)


class HeldOutCases:
    """Predicts held-out cases as a finished version would: sliding window, original size."""

    def __init__(
        self, spec: FoldSpec, plans: dict[str, Any], dataset: dict[str, Any], *, device: str
    ) -> None:
        """Reads which cases the fold holds out.

        Args:
            spec: The fold; when it holds nothing out, there are no cases.
            plans: plans.json.
            dataset: dataset.json.
            device: torch's name of the device the networks are on.
        """
        self._spec, self._plans, self._dataset, self._device = spec, plans, dataset, device
        splits = read_json(spec.workspace.preprocessed_dataset / "splits_final.json")
        self.case_ids: tuple[str, ...] = tuple(splits[spec.fold]["val"]) if spec.holds_out else ()
        self._film = FilmKeeper(spec.fold_dir, spec.class_values)

    @property
    def sample(self) -> tuple[str, ...]:
        """The cases measured during training, a few that are always the same."""
        return sample_of(self.case_ids)

    def measured(
        self,
        network: torch.nn.Module,
        case_ids: Sequence[str],
        *,
        epoch: int,
        mirror_axes: Sequence[int],
        swaps: Sequence[Swap] = (),
        out: Path | None = None,
    ) -> HeldOutDice:
        """Predicts cases and compares them with their label maps.

        Args:
            network: With deep supervision off; it is put into evaluation mode.
            case_ids: Held-out cases.
            epoch: Epochs trained; the fold's film ends with this one.
            mirror_axes: Average over images mirrored along these axes, 0 = rows, 1 = columns.
            swaps: Classes that change places when an axis is mirrored.
            out: Folder (it exists) for the label maps, CASE_ID.png each; None: they are not kept.
        """
        predictor = self._predictor(network, mirror_axes, swaps)
        values = self._spec.class_values
        found = HeldOutDice({}, {}, dict.fromkeys(values, 0), {})
        truths = (read_image(self._spec.workspace.label_png(case_id)) for case_id in case_ids)
        typical = typical_objects(truths, len(values))
        for case_id, probabilities, truth in self._predicted(predictor, case_ids):
            label_map = most_probable(probabilities)
            if out is not None:
                write_png(out / f"{case_id}.png", label_map)
            found.per_case[case_id] = named_dice(label_map, truth, values)
            if case_id == self._film.case_id:
                self._film.keep(epoch, label_map, found.per_case[case_id], is_last=True)
            for integer, name in enumerate(values, start=1):
                found.cases_of_class[name] += int((truth == integer).any())
            found.expected[case_id] = ExpectedDice.of(probabilities, label_map)
            found.doubts[case_id] = label_doubts(probabilities, truth, typical)
        return found

    def sample_dice(self, network: torch.nn.Module, *, epoch: int) -> SampleDice:
        """Measures ``sample``; the case of the fold's film is among it, so its frame is for free.

        Not mirrored: a quarter of the time, so that it can be measured four times as often.
        """
        started = time.monotonic()
        predictor, values = self._predictor(network, ()), self._spec.class_values
        dice = {}
        for case_id, probabilities, truth in self._predicted(predictor, self.sample):
            label_map = most_probable(probabilities)
            dice[case_id] = named_dice(label_map, truth, values)
            if case_id == self._film.case_id:
                self._film.keep(epoch, label_map, dice[case_id])
        return SampleDice(mean_over_cases(dice), trend_of(dice), time.monotonic() - started)

    def seconds_per_case(
        self, network: torch.nn.Module, *, epoch: int, mirror_axes: Sequence[int]
    ) -> float:
        """Mean time to predict a case, timed on a few of ``sample``; 0 when there is none.

        The fold's film begins, or goes on after ``epoch`` epochs.
        """
        workspace = self._spec.workspace
        self._film.begin(workspace, self.sample, epoch=epoch)
        if not self.case_ids:
            return 0.0
        predictor, fold = self._predictor(network, mirror_axes), self._spec.fold
        images = [read_case_image(workspace, k) for k in self.sample[:_TIMED_CASES]]
        # The first call warms up (allocations, kernels).
        first = self._film.case_id or self.sample[0]
        for case_id, probabilities, truth in self._predicted(predictor, [first]):
            label_map = most_probable(probabilities)
            dice = named_dice(label_map, truth, self._spec.class_values)
            if case_id == self._film.case_id:
                self._film.keep(epoch, label_map, dice)
        started, timed = time.monotonic(), 0
        for image in images:
            predictor.predict_single_fold(image, fold)
            timed += 1
            if time.monotonic() - started > _TIMED_S:
                break
        return (time.monotonic() - started) / timed

    def _predicted(
        self, predictor: FoldPredictor, case_ids: Sequence[str]
    ) -> Iterator[tuple[str, npt.NDArray[np.float32], npt.NDArray[Any]]]:
        """Case id, probabilities (class, height, width) and label map (height, width) of cases."""
        workspace = self._spec.workspace
        for case_id in case_ids:
            image = read_case_image(workspace, case_id)
            probabilities = predictor.predict_single_fold(image, self._spec.fold)
            yield case_id, probabilities, read_image(workspace.label_png(case_id))

    def _predictor(
        self, network: torch.nn.Module, mirror_axes: Sequence[int], swaps: Sequence[Swap] = ()
    ) -> FoldPredictor:
        return FoldPredictor(
            {self._spec.fold: network},
            self._plans,
            self._dataset,
            device=self._device,
            mirror_axes=mirror_axes,
            swaps=swaps,
            tile_step=self._spec.preset.tile_step,
        )
