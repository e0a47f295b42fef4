"""One case: looked at before nnU-Net sees it, then preprocessed by nnU-Net."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager

from domain.errors import CaseError
from training.case_files import CaseFiles, read_image
from training.dataset_labels import ignored_integer
from training.nnunet.data.index import CaseFacts, remove_arrays
from training.nnunet.data.plans import CONFIGURATION
from training.nnunet.data.sparse_resampling import SparseConfiguration

BYTES_PER_PIXEL = 100
"""Memory that work on a case takes per pixel of its image, at most: 30 (grey) to 51 (RGB) measured
on 3000 x 3000 pixels, half of them labelled, with and without resampling; then doubled, because the
coordinates of labelled pixels are listed."""


def look_at(
    case: CaseFiles, n_classes: int, n_channels: int, *, has_ignore: bool = False
) -> CaseFacts:
    """Reads a case; raises where nnU-Net would fail late or not at all.

    With ``has_ignore`` pixels of the integer after the last class are ignored.

    Returns:
        Size of what nnU-Net keeps of the image: it crops borders that are 0 in all channels.

    Raises:
        TrainingError: A file is missing.
        CaseError: The files don't fit together or hold an integer that is no class.
    """
    images = [read_image(path) for path in case.image_pngs]
    labels = read_image(case.label_png)
    found = sum(image.shape[2] if image.ndim == 3 else 1 for image in images)
    if found != n_channels:
        raise CaseError(
            {case.case_id: f"the image has {found} channels, the project {n_channels}."},
            remedy="Write every case with the same number of channels.",
        )
    if labels.ndim != 2:
        raise CaseError(
            {case.case_id: f"the label map is a colour or palette image of shape {labels.shape}."},
            remedy="Write it as a grey image that holds the integers of the classes.",
        )
    for image in images:
        if labels.shape != image.shape[:2]:
            raise CaseError(
                {
                    case.case_id: f"the label map has shape {labels.shape}, the image "
                    f"{image.shape[:2]}."
                },
                remedy="Write label map and image at the same size.",
            )
    highest = int(labels.max())
    if highest > n_classes + has_ignore:
        raise CaseError(
            {case.case_id: f"the label map holds {highest}, but there are {n_classes} classes."},
            remedy="Convert the annotation again with the project's present classes.",
        )
    height, width = _content_hw(images)
    return CaseFacts(
        height, width, has_foreground=bool(np.any((labels > 0) & (labels <= n_classes)))
    )


def resampled_hw(facts: CaseFacts, plans: dict[str, Any]) -> tuple[int, int]:
    """(height, width) in pixels of a case's arrays."""
    height_step, width_step = plans["configurations"][CONFIGURATION]["spacing"]
    return round(facts.height / height_step), round(facts.width / width_step)


def refuse_too_small(facts: Mapping[str, CaseFacts], plans: dict[str, Any]) -> None:
    """Raises CaseError where resampling to the plans' spacing would leave no pixel of a case."""
    spacing = plans["configurations"][CONFIGURATION]["spacing"]
    faults = {
        case_id: f"its image shows {row.width} x {row.height} pixels that are not black; the "
        f"network sees one of {max(spacing):.1f}, so nothing would be left."
        for case_id, row in facts.items()
        if min(resampled_hw(row, plans)) < 1
    }
    if faults:
        raise CaseError(faults, remedy="Delete the task, or use a preset of full resolution.")


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """What a process needs to preprocess cases; cheap to send to another one.

    Attributes:
        folder: Where the arrays go.
        plans: The plans as JSON.
        dataset: dataset.json as JSON.
    """

    folder: Path
    plans: str
    dataset: str

    def __call__(self, case: CaseFiles) -> None:
        """Writes the arrays of a case as nnU-Net's own preprocessing does."""
        plans, configuration, preprocessor, dataset = _tools(self.plans, self.dataset)
        remove_arrays(self.folder, case.case_id)
        with contextlib.redirect_stdout(io.StringIO()):
            preprocessor.run_case_save(
                str(self.folder / case.case_id),
                [str(path) for path in case.image_pngs],
                str(case.label_png),
                plans,
                configuration,
                dataset,
            )


@lru_cache(maxsize=2)
def _tools(plans_json: str, dataset: str) -> tuple[PlansManager, ConfigurationManager, Any, Any]:
    plans = PlansManager(json.loads(plans_json))
    configuration = plans.get_configuration(CONFIGURATION)
    preprocessor = configuration.preprocessor_class(verbose=False)
    described = json.loads(dataset)
    ignored = ignored_integer(described)
    if ignored is not None:
        configuration = SparseConfiguration(configuration.configuration)
        configuration.ignore_label = ignored
    return plans, configuration, preprocessor, described


def _content_hw(images: list[npt.NDArray[Any]]) -> tuple[int, int]:
    content = np.zeros(images[0].shape[:2], dtype=np.bool_)
    for image in images:
        content |= image.any(axis=2) if image.ndim == 3 else image != 0
    rows, columns = np.nonzero(content)
    if not rows.size:
        # nnU-Net does not crop an image that is 0 everywhere.
        return content.shape[0], content.shape[1]
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
