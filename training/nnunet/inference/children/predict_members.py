"""``python -m training.nnunet.inference.children.predict_members SPEC.json ERROR.json``.

Label maps of held-out cases by several versions and their means. Prints a line per case, as
``predict_cases``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

import numpy as np

from converters.bookkeeping.documents import from_json
from converters.images.image_pixels import write_png
from domain.prediction import most_probable
from training.case_files import read_case_image
from training.nnunet.inference.children.process_main import answer, leave, write_outcome
from training.nnunet.inference.mixing import mean_of_members
from training.nnunet.inference.predictor import FoldPredictor
from training.versions.member_predictions import HeldOutCase, MembersSpec
from training.workspace import Workspace


def main(argv: list[str]) -> int:
    """Predicts the cases of the JSON file ``argv[0]``; errors go to ``argv[1]``."""
    return answer(argv, lambda spec, lines: predict(from_json(MembersSpec, spec), lines))


def predict(spec: MembersSpec, lines: TextIO) -> None:
    """Writes the label maps of every case that can be predicted.

    One fold of each version is in memory at a time: cases held out by the same folds follow one
    another.

    Raises:
        PredictionError: A version can't be loaded.
    """
    workspace = Workspace(Path(spec.workspace_root), spec.project_id)
    out = Path(spec.out)
    for number in range(len(spec.choices)):
        (out / str(number)).mkdir(parents=True, exist_ok=True)
    loaded = [_Loaded(Path(folder), spec.device) for folder in spec.version_dirs]
    for case in sorted(spec.cases, key=_by_folds):
        predictors = [one.of_fold(fold) for one, fold in zip(loaded, case.folds, strict=True)]
        try:
            image = read_case_image(workspace, case.case_id)
            members = [predictor.predict_maps(image).mean()[np.newaxis] for predictor in predictors]
        except Exception as error:  # noqa: BLE001 - the fault of a case stops no other
            write_outcome(lines, case.case_id, error)
            continue
        for number, choice in enumerate(spec.choices):
            classes = most_probable(mean_of_members([members[k] for k in choice]))
            write_png(out / str(number) / f"{case.case_id}.png", classes)
        write_outcome(lines, case.case_id)


def _by_folds(case: HeldOutCase) -> tuple[tuple[int, ...], str]:
    return tuple(-1 if fold is None else fold for fold in case.folds), case.case_id


class _Loaded:
    """A version with one fold, or all, in memory."""

    def __init__(self, version_dir: Path, device: str) -> None:
        self._version_dir, self._device = version_dir, device
        self._fold: int | None = None
        self._predictor: FoldPredictor | None = None

    def of_fold(self, fold: int | None) -> FoldPredictor:
        if self._predictor is None or fold != self._fold:
            self._predictor = None  # its memory is free before the next takes some
            folds = None if fold is None else [fold]
            self._predictor = FoldPredictor.load(
                self._version_dir, folds=folds, device=self._device
            )
            self._fold = fold
        return self._predictor


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
