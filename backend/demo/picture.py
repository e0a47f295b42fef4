"""Draws one generated image with truth, prediction and uncertainty side by side.

A program of its own (``python -m backend.demo.picture``), because the demo never loads networks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from active_learning.measures.doubt import predictive_entropy
from backend.demo.label_config import LABEL_CONFIG
from backend.demo.ultrasound import generate
from converters.images.image_pixels import write_png
from converters.label_studio.config.label_config import parse_label_config
from converters.pictures.overlay import prediction_panel
from training.nnunet.inference.predictor import FoldPredictor


def draw(version_dir: Path, index: int, seed: int, out: Path) -> None:
    """Predicts the image with this index by a version, and writes the picture.

    Args:
        version_dir: A packaged version.
        index: Of the generated image, see ``backend.demo.ultrasound.generate``.
        seed: The generator's.
        out: PNG to write.
    """
    sample = generate(index, seed)
    probabilities = FoldPredictor.load(version_dir).predict(sample.image)
    predicted = probabilities.mean(axis=0).argmax(axis=0).astype(np.uint8)
    panel = prediction_panel(
        sample.image,
        sample.truth,
        predicted,
        predictive_entropy(probabilities, normalized=True),
        parse_label_config(LABEL_CONFIG),
    )
    write_png(out, panel)


def main() -> None:
    """Reads the arguments of ``draw`` from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version_dir", type=Path)
    parser.add_argument("index", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    draw(chosen.version_dir, chosen.index, chosen.seed, chosen.out)


if __name__ == "__main__":
    main()
