"""Looker: networks look at images; what they say is kept in numbers, no maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from active_learning.measures import ImageMeasures, measure_image
from backend.replay.images.library import LibraryCase, truth_of, workspace
from backend.replay.look import Look
from converters.bookkeeping.documents import read_document, write_document
from domain.errors import PredictionError
from domain.geometry import LabelMap
from domain.prediction import FoldProbabilities, most_probable
from training.case_files import read_case_image
from training.evaluation import named_dice
from training.nnunet.inference.maps import FoldMaps
from training.nnunet.inference.predictor import FoldPredictor

LOOKS = "looks.json"


@dataclass(frozen=True, slots=True)
class Looks:
    """All images that a committee has looked at: looks.json."""

    of_case: dict[str, Look] = field(default_factory=dict)


class Looker:
    """A committee's networks in memory, beside a library."""

    def __init__(
        self,
        trained: Callable[[], Path],
        library_root: Path,
        class_values: Sequence[str],
        device: str,
    ) -> None:
        """Loads nothing before it is needed.

        Args:
            trained: Gives the packaged committee; it may have to be trained first.
            library_root: Of the library.
            class_values: In integer order.
            device: ``cpu``, ``cuda:<i>`` or ``mps``.
        """
        self._trained, self._root, self._device = trained, library_root, device
        self._class_values = tuple(class_values)
        self._predictor: FoldPredictor | None = None

    def look(self, cases: Sequence[LibraryCase], file: Path) -> Mapping[str, Look]:
        """Looks at each image once; what is in the file is not looked at again.

        Raises:
            PredictionError: The networks can't be loaded, or don't give numbers.
        """
        known = read_document(file, Looks).of_case if file.exists() else {}
        missing = [case for case in cases if case.case_id not in known]
        if missing:
            known = dict(known)
            for case, maps in self._maps(missing):
                known[case.case_id] = self._look(case, maps)
            write_document(file, Looks, Looks(known))
        return {case.case_id: known[case.case_id] for case in cases}

    def means(
        self, cases: Sequence[LibraryCase]
    ) -> Iterator[tuple[LibraryCase, npt.NDArray[np.float32]]]:
        """Each image's mean map, (class, height, width) float32 in [0, 1]."""
        for case, maps in self._maps(cases):
            yield case, maps.mean()

    def _maps(self, cases: Sequence[LibraryCase]) -> Iterator[tuple[LibraryCase, FoldMaps]]:
        if self._predictor is None:
            # Torch throughout: an engine that takes over midway would make two runs differ.
            self._predictor = FoldPredictor.load(
                self._trained(), device=self._device, engine="torch"
            )

        def load(case: LibraryCase) -> npt.NDArray[Any]:
            return read_case_image(workspace(self._root), case.case_id)

        for case, found in self._predictor.predict_stream(cases, load, with_views=True):
            yield case, found.result()

    def _look(self, case: LibraryCase, maps: FoldMaps) -> Look:
        mean = maps.room()

        def blocks() -> Iterator[FoldProbabilities]:
            for rows, block in maps.blocks():
                block.mean(axis=0, out=mean[:, rows])
                yield block

        measures = measure_image(blocks(), views=maps.views())
        if not math.isfinite(float(mean.sum())):
            raise PredictionError(
                f"The prediction of {case.case_id} is no number.",
                remedy="Choose another preset or more steps.",
            )
        label_map: LabelMap = most_probable(mean)
        truth = truth_of(self._root, case.case_id)
        return Look(
            dice=named_dice(label_map, truth, self._class_values),
            measures=_by_name(measures),
            shares=tuple(one.share for one in measures.classes.values()),
        )


def _by_name(found: ImageMeasures) -> dict[str, float]:
    """As strategies call them, those that are known."""
    measures = {
        "soft_dice": found.soft_dice,
        "entropy": found.entropy,
        "mutual_information": found.known_information,
        "pairwise_dice": found.pairwise_dice,
    }
    return {name: value for name, value in measures.items() if value is not None}
