"""``python -m backend.replay.networks.process SPEC.json ERROR.json``: plays a replay.

Its images are there (``images.library``). Prints a line for each round. Ends with code 1 when it
can't go on; ERROR.json says why.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from backend.replay.images.library import read_library
from backend.replay.networks.playing import play_replay
from backend.replay.replay import Replay
from backend.replay.start import ReplaySpec
from converters.bookkeeping.documents import from_json
from training.nnunet.inference.children.process_main import answer


def main(argv: list[str]) -> int:
    """Plays what the JSON file ``argv[0]`` says; errors go to ``argv[1]``."""
    return answer(argv, lambda spec, lines: run(from_json(ReplaySpec, spec), lines))


def run(spec: ReplaySpec, lines: TextIO) -> None:
    """Plays it to its end; errors as ``play_replay``."""
    root = Path(spec.root)
    replay = Replay(root, read_library(root), spec.options)
    play_replay(replay, lambda line: print(line, file=lines, flush=True))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
