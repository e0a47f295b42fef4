"""Where a project's training files lie."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder of one project below a root folder.

    ::

        <root>/projects/<id>/
            nnUNet_raw/DatasetXXX_project/{imagesTr, labelsTr, dataset.json}
            nnUNet_preprocessed/DatasetXXX_project/{plans.json, splits_final.json, index.json, ...}
            runs/<run>/fold_<k>/      a fold being trained
            models/<version>/         a finished version, self-contained
            plans/<name>.json         plans that the setting ``plans`` may name
    """

    root: Path
    project_id: int

    @classmethod
    def of_version(cls, version_dir: Path) -> Workspace | None:
        """The workspace whose ``version_dir`` this is; None where it lies somewhere else."""
        if len(version_dir.parents) < 4 or not version_dir.parents[1].name.isdecimal():
            return None
        found = cls(version_dir.parents[3], int(version_dir.parents[1].name))
        return found if found.models == version_dir.parent else None

    @property
    def folder(self) -> Path:
        """The project's own folder."""
        return self.root / "projects" / str(self.project_id)

    @property
    def dataset_name(self) -> str:
        """nnU-Net's name of the dataset; each project has roots of its own, so one id serves."""
        return f"Dataset001_project{self.project_id}"

    @property
    def raw_root(self) -> Path:
        """nnU-Net's ``nnUNet_raw``."""
        return self.folder / "nnUNet_raw"

    @property
    def preprocessed_root(self) -> Path:
        """nnU-Net's ``nnUNet_preprocessed``."""
        return self.folder / "nnUNet_preprocessed"

    @property
    def raw_dataset(self) -> Path:
        """The dataset's raw images and labels."""
        return self.raw_root / self.dataset_name

    @property
    def preprocessed_dataset(self) -> Path:
        """The dataset's plans, splits and preprocessed arrays."""
        return self.preprocessed_root / self.dataset_name

    def image_png(self, case_id: str, number: int = 0) -> Path:
        """An image file of a case; nnU-Net's ``_0000`` is the first, usually the only one.

        ``training.case_files.read_case_image`` reads all of them.
        """
        return self.raw_dataset / "imagesTr" / f"{_checked(case_id)}_{number:04d}.png"

    def label_png(self, case_id: str) -> Path:
        """The label map of a case."""
        return self.raw_dataset / "labelsTr" / f"{_checked(case_id)}.png"

    def truth_png(self, case_id: str) -> Path:
        """nnU-Net's copy of the label map beside the preprocessed arrays."""
        return self.preprocessed_dataset / "gt_segmentations" / f"{_checked(case_id)}.png"

    def run_dir(self, run: str | int) -> Path:
        """The folder of a training run."""
        return self.folder / "runs" / _checked(str(run))

    def fold_dir(self, run: str | int, fold: int) -> Path:
        """The folder of one fold of a training run."""
        return self.run_dir(run) / f"fold_{fold}"

    @property
    def named_plans(self) -> Path:
        """The folder of plans a user may name; nnloop writes nothing there."""
        return self.folder / "plans"

    @property
    def models(self) -> Path:
        """The folder of all versions."""
        return self.folder / "models"

    def version_dir(self, version: str) -> Path:
        """The folder of a finished version."""
        return self.models / _checked(version)


def _checked(name: str) -> str:
    # Names become folders: a slash or a leading dot would lead out of the workspace.
    if not _NAME.fullmatch(name):
        raise ValueError(f"not usable as a file name: {name!r}")
    return name
