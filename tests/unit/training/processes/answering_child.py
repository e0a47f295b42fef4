"""A child for run_child that does what its specification says."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, TextIO

from domain.errors import TrainingError
from training.nnunet.inference.children.process_main import answer


def _work(spec: dict[str, Any], lines: TextIO) -> None:
    print("a library talks")
    for line in spec["lines"]:
        lines.write(f"{line}\n")
    if "error" in spec:
        raise TrainingError(spec["error"], remedy="Mend it.")
    if "signal" in spec:
        os.kill(os.getpid(), spec["signal"])
    if "sleep" in spec:
        lines.write(f"{os.getpid()}\n")
        time.sleep(spec["sleep"])


if __name__ == "__main__":
    sys.exit(answer(sys.argv[1:], _work))
