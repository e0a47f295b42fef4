"""``python -m training.nnunet.seen_gpus SPEC.json ERROR.json``: what torch sees of the GPUs.

Prints one line, a JSON object: ``torch`` and ``built_for`` (its version, and CUDA's; "" = none),
``gpus`` (names of those it can use), ``error`` (why it can use none; "" = nothing went wrong).
"""

from __future__ import annotations

import json
import sys
from typing import Any, TextIO

import torch

from domain.text import one_line
from training.nnunet.inference.children.process_main import answer


def main(argv: list[str]) -> int:
    """Looks, and prints what is seen."""
    return answer(argv, look)


def look(_spec: Any, lines: TextIO) -> None:
    """Prints what this torch was built for, and what it can use here."""
    found: dict[str, Any] = {
        "torch": torch.__version__,
        "built_for": torch.version.cuda or "",
        "gpus": [],
        "error": "",
    }
    try:
        if torch.cuda.is_available():
            found["gpus"] = [_tried(i) for i in range(torch.cuda.device_count())]
        elif torch.version.cuda:
            torch.cuda.init()  # says why
    except (RuntimeError, AssertionError) as error:
        found["error"] = one_line(error)
    print(json.dumps(found), file=lines, flush=True)


def _tried(index: int) -> str:
    """The GPU's name, after a small computation on it."""
    value = torch.ones(8, 8, device=f"cuda:{index}")
    if float((value @ value).sum()) != 8.0**3:
        raise RuntimeError(f"cuda:{index} computes wrongly")
    return str(torch.cuda.get_device_name(index))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
