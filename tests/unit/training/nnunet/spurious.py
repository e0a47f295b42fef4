"""A finished run whose label maps have parts that nnU-Net's postprocessing removes."""

from __future__ import annotations

import json

import numpy as np
from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO

from converters.images.image_pixels import write_png
from training.case_files import write_case
from training.nnunet.data.plans import dataset_json
from training.workspace import Workspace

CLASSES = ("disc", "square")
PLANS = {
    "plans_name": "nnUNetPlans",
    "image_reader_writer": NaturalImage2DIO.__name__,
    "configurations": {"2d": {"architecture": {}}},
}


def write_run(workspace: Workspace, run: int, *, with_spurious: bool) -> None:
    """Two folds that held out task_0 to task_3; predicted perfectly but for spurious discs."""
    image = np.full((40, 40), 90, np.uint8)
    for fold in (0, 1):
        folder = workspace.fold_dir(run, fold)
        (folder / "validation").mkdir(parents=True)
        (folder / "plans.json").write_text(
            json.dumps({**PLANS, "dataset_name": workspace.dataset_name})
        )
        (folder / "dataset.json").write_text(json.dumps(dataset_json(CLASSES, 1, 4)))
        for number in (0, 1):
            case_id = f"task_{2 * fold + number}"
            labels = np.zeros((40, 40), np.uint8)
            labels[5:15, 5:15] = 1
            labels[25:35, 25:30] = 2
            # The truth of class 2 has two parts: keeping the largest would be wrong.
            labels[25:35, 34:38] = 2
            write_case(workspace, case_id, image, labels, n_channels=1)
            predicted = labels.copy()
            if with_spurious:
                predicted[2:4, 30 + fold : 33 + fold] = 1
            write_png(folder / "validation" / f"{case_id}.png", predicted)
