"""``python -m backend.from_files.networks.predict_process SPEC.json ERROR.json``: predicts files.

Prints a line for each image. Ends with code 1 when it can't go on; ERROR.json says why.
"""

from __future__ import annotations

import sys

from backend.from_files.networks.predict import predict_files
from backend.from_files.predictions.predicting import PredictionSpec
from converters.bookkeeping.documents import from_json
from training.nnunet.inference.children.process_main import answer, leave


def main(argv: list[str]) -> int:
    """Predicts what the JSON file ``argv[0]`` says; errors go to ``argv[1]``."""
    return answer(
        argv,
        lambda spec, lines: predict_files(
            from_json(PredictionSpec, spec), lambda line: print(line, file=lines, flush=True)
        ),
    )


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
