"""nnU-Net's model zip as a folder to predict with."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from backend.pipeline.models.archive import choose_model, fold_numbers, info_of
from converters.bookkeeping.documents import write_document
from converters.bookkeeping.files import write_bytes
from converters.bookkeeping.zips import opened_zip, parts_of
from domain.errors import FileFormatError, PredictionError, SettingsError
from training.archive.convert import convert_checkpoints
from training.archive.foreign_plans import unpack_foreign
from training.archive.unpack import ModelFolder, list_models
from training.versions.version_folder import (
    POSTPROCESSING,
    VERSION,
    VersionInfo,
)

_MAX_JSON_BYTES = 2**20


def is_model_zip(path: Path) -> bool:
    """Whether a file is a zip, or was meant to be one."""
    return path.is_file() and (path.suffix.lower() == ".zip" or zipfile.is_zipfile(path))


def unpacked_model(file: Path, into: Path) -> Path:
    """Unpacks the model of a zip, as ``nnloop models export`` and nnU-Net write it.

    Checkpoints are read in a process of their own, without running code of theirs.

    Args:
        file: The zip.
        into: An empty folder.

    Returns:
        A version's folder, whose name changes with the zip's content.

    Raises:
        FileFormatError: The zip is hostile, broken, or of a kind nnloop can't predict with.
        DiskFullError: There is no room for it.
        PredictionError: It holds several models.
    """
    found = list_models(file)
    try:
        chosen = choose_model(found, file, None)
    except SettingsError as error:
        raise PredictionError(
            f"{file.name} holds {len(found)} models: {', '.join(one.name for one in found)}.",
            remedy="Give a zip of one model, or the folder of the ensemble's version itself.",
        ) from error
    foreign = unpack_foreign(file, chosen, into)
    folds = fold_numbers(chosen)
    converted = convert_checkpoints(into, folds)
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    name = f"{file.stem}-{digest[:8]}"
    # The same zip is the same version, whenever it is unpacked.
    info = info_of(name, foreign, foreign.labels, converted, folds, created_at=0.0)
    _postprocessing(file, chosen, into)
    write_document(into / VERSION, VersionInfo, info)
    return into


def _postprocessing(file: Path, model: ModelFolder, into: Path) -> None:
    """That of the model, where the zip has one: its predictions are what they were then."""
    with opened_zip(file) as archive:
        names = [
            name
            for name in archive.namelist()
            if name.startswith(f"{model.path}/crossval_results_folds_")
            and name.endswith(f"/{POSTPROCESSING}")
        ]
        if len(names) == 1 and archive.getinfo(names[0]).file_size <= _MAX_JSON_BYTES:
            try:
                write_bytes(into / POSTPROCESSING, parts_of(archive, names[0]))
            except zipfile.BadZipFile as error:
                raise FileFormatError(
                    f"{names[0]} in {file.name} can't be unpacked: {error}.",
                    remedy="Copy the file again; it may have been cut off.",
                ) from error
