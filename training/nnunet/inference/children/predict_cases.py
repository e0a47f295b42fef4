"""``python -m training.nnunet.inference.children.predict_cases SPEC.json ERROR.json``: label maps.

Prints a line per case: its id, then a tab and the reason when it could not be predicted. Ends with
code 1 when the version can't be loaded; ERROR.json says why in one sentence.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TextIO

import numpy as np
import numpy.typing as npt

from converters.bookkeeping.documents import from_json
from converters.images.image_pixels import write_png
from domain.prediction import most_probable
from training.case_files import read_case_image
from training.nnunet.inference.children.process_main import answer, leave, write_outcome
from training.nnunet.inference.postprocessing import postprocessed
from training.nnunet.inference.predictor import FoldPredictor
from training.versions.case_predictions import ENTROPY, CaseToPredict, PredictionSpec
from training.versions.keep_largest import read_postprocessing


def main(argv: list[str]) -> int:
    """Predicts the cases of the JSON file ``argv[0]``; errors go to ``argv[1]``."""
    return answer(argv, lambda spec, lines: predict(from_json(PredictionSpec, spec), lines))


def predict(spec: PredictionSpec, lines: TextIO) -> None:
    """Writes the label map of every case that can be predicted.

    Raises:
        PredictionError: The version can't be loaded.
    """
    needed = {case.fold for case in spec.cases}
    folds = None if None in needed else sorted(fold for fold in needed if fold is not None)
    predictor = FoldPredictor.load(Path(spec.version_dir), folds=folds, device=spec.device)
    out = Path(spec.out)
    out.mkdir(parents=True, exist_ok=True)
    steps = read_postprocessing(Path(spec.version_dir))
    integers = np.array(spec.integers, dtype=np.uint8)
    for case in spec.cases:
        try:
            probabilities = _probabilities(predictor, case)
            if spec.with_entropy:
                write_png(out / ENTROPY.format(case_id=case.case_id), _entropy(probabilities))
            classes = most_probable(postprocessed(probabilities, steps))
        except Exception as error:  # noqa: BLE001 - the fault of a case stops no other
            write_outcome(lines, case.case_id, error)
            continue
        write_png(out / f"{case.case_id}.png", integers[classes])
        write_outcome(lines, case.case_id)


def _probabilities(predictor: FoldPredictor, case: CaseToPredict) -> npt.NDArray[np.float32]:
    """(class, height, width), as training and the gate judge."""
    image = read_case_image(case.workspace, case.case_id)
    if case.fold is not None:
        return predictor.predict_single_fold(image, case.fold)
    return predictor.predict_maps(image).mean()


def _entropy(probabilities: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """(height, width), 255 where all classes are equally probable; row by row, images are large."""
    found = np.empty(probabilities.shape[1:], np.uint8)
    for y in range(probabilities.shape[1]):
        row = np.maximum(probabilities[:, y], np.float32(1e-30))
        share = -(row * np.log(row)).sum(axis=0) / math.log(len(row))
        found[y] = np.rint(np.clip(share, 0.0, 1.0) * 255)
    return found


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
