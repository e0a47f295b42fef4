"""``python -m training.nnunet.find_postprocessing SPEC.json ERROR.json``: for ``find_steps``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TextIO

from converters.bookkeeping.documents import from_json, write_document
from training.evaluation import DicePerCase
from training.nnunet.cross_validation import postprocessing_of_label_maps
from training.nnunet.inference.children.process_main import answer, leave
from training.versions.keep_largest import DICE, PostprocessingSpec
from training.workspace import Workspace


def main(argv: list[str]) -> int:
    """Writes postprocessing.json, .pkl and the Dice after it as the JSON file ``argv[0]`` says."""
    return answer(argv, _find)


def _find(value: dict[str, Any], _: TextIO) -> None:
    spec = from_json(PostprocessingSpec, value)
    found = postprocessing_of_label_maps(
        Workspace(Path(spec.workspace_root), spec.project_id),
        {path.stem: path for path in sorted(Path(spec.label_maps).glob("*.png"))},
        Path(spec.model_dir),
        Path(spec.out),
        spec.class_values,
    )
    write_document(Path(spec.out) / DICE, DicePerCase, found.dice_per_case)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
