"""Dice measured by earlier versions of nnloop, which counted an absent class as 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.case_files import read_image
from training.evaluation import DicePerCase
from training.workspace import Workspace


def without_absent(
    workspace: Workspace, class_values: Sequence[str], dice: DicePerCase
) -> DicePerCase:
    """The same Dice as they are counted now: None for a class that was in neither map.

    A 1 for a class that the truth does not have is one of these, for no prediction can overlap with
    nothing. What is counted as now already comes back unchanged.

    Args:
        workspace: Has the label maps that ``dice`` was measured on; where one is gone the case
            stays as it is.
        class_values: Names of the integers 1, 2, ... in the label maps.
        dice: Of any cases and classes.
    """
    found: DicePerCase = {}
    for case_id, scores in dice.items():
        path = workspace.label_png(case_id)
        found[case_id] = dict(scores)
        if 1.0 not in scores.values() or not path.exists():
            continue
        present = set(np.unique(read_image(path)).tolist())
        for integer, name in enumerate(class_values, start=1):
            if integer not in present and scores.get(name) == 1.0:
                found[case_id][name] = None
    return found
