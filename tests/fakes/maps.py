"""Maps of folds that are there already, in the form in which networks give them."""

from __future__ import annotations

from domain.prediction import FoldProbabilities
from training.nnunet.inference.maps import DEFAULT_IMAGE_BYTES, FoldMaps


def maps_of(
    probabilities: FoldProbabilities, *, image_bytes: int = DEFAULT_IMAGE_BYTES
) -> FoldMaps:
    """(fold, class, height, width) as the maps of one model."""
    n_folds, n_classes, height, width = probabilities.shape
    return FoldMaps(
        (lambda rows: probabilities[:, :, rows],),
        n_folds,
        n_classes,
        (height, width),
        image_bytes,
    )
