"""The model that a person named: a folder of training from files, or a version's own folder."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from active_learning.calibration import Calibration, fit
from backend.from_files.context import DATA, PROJECT, FilesContext
from backend.pipeline.basis.annotations import label_config_of
from backend.pipeline.labels.of_version import labels_of_version
from backend.settings import ProjectSettings
from backend.store import projects
from backend.store.training import runs, versions
from converters.bookkeeping.files import read_json
from converters.imports.find import IMAGE_ENDINGS
from converters.label_studio.config.inferred_config import polygon_label_config
from converters.label_studio.config.label_config import parse_label_config
from converters.masks.channel_files import n_image_files
from domain.errors import PredictionError, StackError
from domain.labels import LabelConfig
from domain.text import one_line
from training.versions.version_folder import DATASET, VERSION, read_version
from training.versions.working_size import WorkingSize


@dataclass(frozen=True, slots=True)
class Model:
    """What predicts.

    Attributes:
        folder: The version's.
        name: The version's.
        config: A labelling interface with its classes in its integers.
        calibration: Makes scores of what is measured.
        n_channels: Of the images it was trained on.
        n_files: Of an image: 1, or one for each of its channels; 0: three, or one in colour, as
            the files will tell.
        settings: Of the project that it was trained in; the defaults of any other.
    """

    folder: Path
    name: str
    config: LabelConfig
    calibration: Calibration
    n_channels: int
    n_files: int
    settings: ProjectSettings


def find_model(path: Path) -> Model:
    """The model in a folder, of which nothing is changed.

    Args:
        path: Of ``nnloop train --out``, or of a version (with version.json).

    Raises:
        PredictionError: There is none, or it can't be read.
    """
    if (path / VERSION).is_file():
        return _of_version(path)
    if not (path / DATA).is_dir():
        is_there = path.exists()
        raise PredictionError(
            f"{path} holds no model." if is_there else f"There is no folder or file {path}.",
            remedy="Give the folder that `nnloop train FILES --out FOLDER` has written, that of a "
            "version, or a model's zip.",
        )
    with tempfile.TemporaryDirectory(prefix="nnloop-") as home:
        try:
            if not FilesContext.copy_store(path, Path(home)):
                raise _no_training(path)
            context = FilesContext.at(path, Path(home))
        except (OSError, StackError) as error:
            raise PredictionError(
                f"The store of {path} can't be read: {one_line(error)}",
                remedy="Check the folder's rights; while a training is at work there, try again.",
            ) from error
        try:
            return _of_training(context, path)
        finally:
            context.store.close()


def _no_training(path: Path) -> PredictionError:
    return PredictionError(
        f"No training has begun in {path}.",
        remedy="Make a model of labels first: `nnloop train FILES --out FOLDER`.",
    )


def _no_model_yet(path: Path) -> PredictionError:
    return PredictionError(
        f"The training in {path} has made no model yet.",
        remedy="Call the same `nnloop train` again: it goes on, or says what is wrong.",
    )


def _of_training(context: FilesContext, path: Path) -> Model:
    with context.store.read() as session:
        version = versions.champion(session, PROJECT)
        if version is None:
            if runs.last_run(session, PROJECT) is None:
                raise _no_training(path)
            raise _no_model_yet(path)
        project = projects.get(session, PROJECT)
        config = label_config_of(project, project.settings)
        folder = Path(version.path)
        info = read_version(folder)
        return Model(
            folder,
            version.name,
            labels_of_version(config, version, info.class_values).config,
            version.calibration or _uncalibrated(folder),
            info.n_channels,
            len(config.image_keys),
            project.settings,
        )


def _of_version(folder: Path) -> Model:
    info = read_version(folder)
    return Model(
        folder.resolve(),
        info.name,
        parse_label_config(polygon_label_config(info.class_values)),
        _uncalibrated(folder),
        info.n_channels,
        _n_files(folder, info.n_channels),
        ProjectSettings(),
    )


def _n_files(folder: Path, n_channels: int) -> int:
    """By the names of the channels: three that are no colours are files, as nnU-Net has them."""
    try:
        about = read_json(folder / DATASET)
        named, ending = about["channel_names"], str(about.get("file_ending", ".png"))
        names = [str(named[key]) for key in sorted(named, key=int)]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        names, ending = [], ""
    if len(names) != n_channels:
        return n_channels if n_channels not in (1, 3) else 1
    found = n_image_files(names)
    return found or (0 if ending.lower() in IMAGE_ENDINGS else n_channels)


def _uncalibrated(folder: Path) -> Calibration:
    size = WorkingSize.of_version(folder)
    return fit([], cap=size.most if size is not None else 1.0)
