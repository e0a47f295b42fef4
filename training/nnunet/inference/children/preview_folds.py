"""``python -m training.nnunet.inference.children.preview_folds SPEC.json ERROR.json``.

Label maps of cases by the newest checkpoint of each fold of a run. Prints a line of JSON per fold
(``PreviewedFold``). Ends with code 1 when the device is not there; ERROR.json says so.
"""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO

from training.nnunet.inference.children.process_main import answer, leave

_NICE = 15
"""Beside a training this process has what is left over."""


def main(argv: list[str]) -> int:
    """Predicts what the JSON file ``argv[0]`` says; errors go to ``argv[1]``."""
    if hasattr(os, "nice"):
        os.nice(_NICE)
    return answer(argv, _preview)


def _preview(spec: Any, lines: TextIO) -> None:
    # Only now: to import torch is seconds of work, in which others are to go first too.
    from training.nnunet.inference.newest import preview

    preview(spec, lines)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
