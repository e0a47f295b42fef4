"""Which flips and turns the images of a run bear."""

from __future__ import annotations

from functools import partial

from backend.pipeline.basis.beat import Beat
from domain.case import Manifest
from training.case_files import read_case_image, read_image
from training.symmetries.decide import LabelledCase, decide
from training.symmetries.symmetries import MirrorTraining, Symmetries
from training.workspace import Workspace


def decide_symmetries(
    workspace: Workspace, manifest: Manifest, word: MirrorTraining, beat: Beat
) -> Symmetries:
    """Decides from the cases of a manifest, whose files are written.

    Args:
        workspace: The project.
        manifest: What is trained on.
        word: The setting ``mirror_train``, which overrules what is measured.
        beat: Called between files.

    Raises:
        TrainingError: A file of a case is gone.
    """
    cases = [
        LabelledCase(
            entry.case_id,
            entry.group,
            label_map=partial(read_image, workspace.label_png(entry.case_id)),
            image=partial(read_case_image, workspace, entry.case_id),
        )
        for entry in manifest.entries
    ]
    return decide(cases, manifest.class_values, word, beat)
