"""``python -m backend.from_files.networks.process SPEC.json ERROR.json``: takes a run to its end.

Prints a line for each step and epoch. Ends with code 1 when it can't go on; ERROR.json says why.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from backend.from_files.context import FilesContext
from backend.from_files.networks.drive import drive
from backend.from_files.start import RunSpec
from converters.bookkeeping.documents import from_json
from training.nnunet.inference.children.process_main import answer


def main(argv: list[str]) -> int:
    """Trains what the JSON file ``argv[0]`` says; errors go to ``argv[1]``."""
    return answer(argv, lambda spec, lines: run(from_json(RunSpec, spec), lines))


def run(spec: RunSpec, lines: TextIO) -> None:
    """Takes it to its end; errors as ``drive``."""
    context = FilesContext.at(Path(spec.folder))
    drive(context, spec.run_id, lambda line: print(line, file=lines, flush=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
