"""Where the prediction worker runs its networks, and those it keeps warm."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from active_learning.measures import measure_image
from backend.settings import ProjectSettings, Settings
from training.devices import list_devices
from training.nnunet.inference.predictor import FoldPredictor, load_cached


@cache
def prediction_device() -> str:
    """The first GPU, or the CPU; ``NNLOOP_DEVICES`` overrides what is found."""
    return list_devices()[0].name


def warm_predictor(
    settings: Settings, project: ProjectSettings | None, version_dir: Path
) -> FoldPredictor:
    """A version's predictor as installation and project want it, warm when it was used lately.

    Args:
        settings: The installation's: engine and memory, also for one image.
        project: Its mirroring and tile step; None takes those of the version's preset, with which
            its held-out cases were predicted at the end of its training.
        version_dir: The version's folder.

    Raises:
        PredictionError: The version can't be loaded.
    """
    predictor = load_cached(
        version_dir,
        device=prediction_device(),
        mirroring=project.mirror_predict if project else None,
        tile_step=project.tile_step if project else None,
        engine=settings.engine,
        max_bytes=settings.predictor_memory_mib * 2**20,
    )
    predictor.image_bytes = settings.image_memory_mib * 2**20
    if settings.engine == "auto":
        predictor.prove_bfloat16(version_dir, lambda maps: measure_image([maps]).soft_dice)
    return predictor
