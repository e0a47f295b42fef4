"""Pictures of one case: image, truth, prediction, and where the networks are unsure."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from backend.report.charts.figure import data_uri
from converters.pictures.overlay import drawn, heated
from converters.pictures.panels import RgbImage, interpolation, to_rgb
from domain.geometry import LabelMap
from domain.labels import LabelConfig
from training.case_files import read_image

_LONGEST_PX = 440
"""Longest side of a picture; four of them with 12 cases are about 2 MB."""

_QUALITY = 84


@dataclass(frozen=True, slots=True)
class CasePictures:
    """Pictures of one case.

    Attributes:
        image: ``data:`` URI of a JPEG, as the others.
        truth: "" of a task that nobody labelled.
        prediction: Over the image.
        uncertainty: A heat map.
        is_truth_empty: Whether nothing is annotated, so that its picture is just the image.
        is_prediction_empty: Whether nothing is predicted.
    """

    image: str
    truth: str
    prediction: str
    uncertainty: str
    is_truth_empty: bool = False
    is_prediction_empty: bool = False


def draw_case(
    image: Path, truth: Path | None, prediction: Path, entropy: Path, config: LabelConfig
) -> CasePictures:
    """Draws the pictures of a case.

    Args:
        image: Its PNG, of several channels the first.
        truth: Label map by the project's classes; None where nobody labelled it.
        prediction: The same, predicted.
        entropy: (height, width) uint8, 255 = every class is as probable.
        config: Gives the colours.

    Raises:
        TrainingError: A file is missing or no image.
        ValueError: Their sizes differ.
    """
    pixels = read_image(image)
    predicted, doubt = read_image(prediction), read_image(entropy)
    height, width = pixels.shape[:2]
    if predicted.shape != (height, width) or doubt.shape != (height, width):
        raise ValueError(
            f"image {pixels.shape[:2]}, prediction {predicted.shape} and entropy {doubt.shape} "
            "must be of one size"
        )
    scale = _LONGEST_PX / max(height, width)
    size_wh = (max(round(width * scale), 1), max(round(height * scale), 1))
    how = interpolation(scale)
    base = np.asarray(cv2.resize(to_rgb(pixels), size_wh, interpolation=how), np.uint8)
    labelled = read_image(truth) if truth is not None else None
    return CasePictures(
        image=_jpeg(base),
        truth="" if labelled is None else _jpeg(drawn(base, labelled, config, scale)),
        prediction=_jpeg(drawn(base, predicted, config, scale)),
        uncertainty=_jpeg(heated(base, doubt.astype(np.float32) / np.float32(255), highest=1.0)),
        is_truth_empty=labelled is not None and not _shows_a_class(labelled, config),
        is_prediction_empty=not predicted.any(),
    )


def _shows_a_class(label_map: LabelMap, config: LabelConfig) -> bool:
    """Whether any class is in it; pixels of which nothing is known are none."""
    return bool(np.isin(label_map, [one.index for one in config.group.classes]).any())


def _jpeg(picture: RgbImage) -> str:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=_QUALITY)
    return data_uri(buffer.getvalue(), "image/jpeg")
