"""nnU-Net's postprocessing of a run's folds, where its preset asks for it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from backend.pipeline.basis.beat import Beat
from backend.pipeline.basis.context import AppContext
from backend.store.models import FoldRow, RunRow
from backend.store.training import runs
from training.nnunet.cross_validation import find_postprocessing
from training.versions.keep_largest import FoundSteps

logger = logging.getLogger(__name__)


def postprocessing_of(
    context: AppContext,
    run: RunRow,
    folds: Sequence[FoldRow],
    beat: Beat,
) -> FoundSteps | None:
    """What the run's version is to do with its label maps; None: the preset asks for nothing.

    Also None where nothing was held out to decide on.
    """
    manifest = runs.manifest_of(run)
    if manifest.n_folds < 2 or not manifest.preset.postprocess:
        return None
    workspace = context.workspace(run.project_id)
    numbers = [fold.fold for fold in folds]
    found = find_postprocessing(workspace, run.number, numbers, manifest.class_values, beat=beat)
    names = [
        " + ".join(manifest.class_values[label - 1] for label in step.labels)
        for step in found.steps
    ]
    kept = ", ".join(names) or "none"
    logger.info("Run %d: only the largest part is kept of: %s.", run.number, kept)
    return found
