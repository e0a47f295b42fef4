"""What a training may start from: a version, or a model's zip."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backend.pipeline.basis.annotations import label_config_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.models.archive import choose_model, fold_numbers
from backend.pipeline.models.find import find_version
from backend.store import projects
from converters.bookkeeping.documents import write_document
from converters.bookkeeping.files import new_folder, read_json
from converters.classes.matching import find_class
from domain.errors import PredictionError, SettingsError
from domain.labels import LabelGroup
from training.archive.convert import convert_checkpoints
from training.archive.foreign_plans import unpack_foreign
from training.archive.unpack import list_models
from training.presets import FULL, PRETRAINED
from training.pretrained import is_named_in
from training.versions.ensembles import check_weights
from training.versions.version_folder import (
    DATASET,
    PLANS,
    VERSION,
    VersionInfo,
    library_versions,
    read_version,
)

_STARTS = "starts"
"""Folder in the project's, of models that were unpacked to start from."""


@dataclass(frozen=True, slots=True)
class FoundStart:
    """A model to start from.

    Attributes:
        folder: Its plans, version.json and checkpoints.
        name: What it is called.
        mapping: Its classes that go on as labels of the project -> these labels.
        fresh: Labels of the project that it does not know.
        preset: The preset whose learning rates its network needs; "" for any.
    """

    folder: Path
    name: str
    mapping: dict[str, str]
    fresh: tuple[str, ...]
    preset: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        """Fields of RunSettings for a run that starts here: with the model's plans."""
        own = {"preset": self.preset} if self.preset else {}
        return own | {
            "start_from": str(self.folder),
            "start_map": self.mapping,
            "plans": str(self.folder / PLANS),
            "planner": "",
            "gpu_memory_gb": None,
        }

    @property
    def remark(self) -> str:
        """What a person should know of it, in sentences."""
        fresh = f" Its head for {', '.join(self.fresh)} begins fresh." if self.fresh else ""
        rates = f" Its network trains at the rates of preset {self.preset}." if self.preset else ""
        return (
            f"It starts from {self.name}, with its plans.{fresh}{rates} Later runs plan as before, "
            "and start from fresh weights where nobody can tell what it has seen: name it again to "
            "start from it again."
        )


def find_start(
    context: AppContext, project_id: int, name: str, mapping: Mapping[str, str]
) -> FoundStart:
    """Finds the model a person names, and which of its classes are the project's.

    Args:
        context: The process's context.
        project_id: The project that will be trained.
        name: A version of the project, or of another if one project alone has it; or the path of
            nnU-Net's model zip, which is unpacked into the project's folder.
        mapping: Name of a class of the model -> the project's label; "" for none.

    Raises:
        SettingsError: There is no such model, it is an ensemble, takes other channels, or the
            mapping names what there is not.
        PredictionError: It was pruned, or a file of it is gone.
        FileFormatError: The zip is hostile, broken, or of a kind nnloop can't train on.
    """
    with context.store.begin() as session:
        project = projects.get(session, project_id)
        group = label_config_of(project, project.settings).group
        n_channels = project.n_channels
    file = Path(name).expanduser()
    # A path that no system could hold is no file, and no error either.
    if file.suffix.lower() == ".zip" or os.path.isfile(file):  # noqa: PTH113
        folder = _unpacked(context, project_id, file)
    else:
        folder = _version(context, project_id, name)
    info = read_version(folder)
    if info.members:
        raise SettingsError(
            f"{info.name} is an ensemble: it has no network of its own to start from.",
            remedy=f"Name one of its members: {', '.join(info.members)}.",
        )
    check_weights(folder, info)
    _check_files(folder, info)
    n_theirs = len(read_json(folder / DATASET)["channel_names"])
    if n_channels and n_theirs != n_channels:
        raise SettingsError(
            f"{info.name} takes {n_theirs} channels, the project's images have {n_channels}.",
            remedy="Start from a model that was trained on images with as many.",
        )
    found = _mapped(info.class_values, mapping, group)
    if not found and not mapping:
        raise SettingsError(
            f"No class of {info.name} ({', '.join(info.class_values)}) is a label of the project "
            f"({', '.join(label.value for label in group.classes)}).",
            remedy="Say which goes on as which with --map THEIRS=OURS; --map THEIRS= starts with "
            "fresh heads.",
        )
    known = set(found.values())
    fresh = tuple(label.value for label in group.classes if label.value not in known)
    return FoundStart(folder, info.name, found, fresh, _preset_of(folder))


def _version(context: AppContext, project_id: int, name: str) -> Path:
    with context.store.begin() as session:
        try:
            row = find_version(session, name, project_id)
        except SettingsError:
            row = find_version(session, name)
    return Path(row.path)


def _preset_of(folder: Path) -> str:
    """An encoder that has learned from photographs forgets it at the rates of other presets."""
    return PRETRAINED.name if is_named_in(read_json(folder / PLANS)) else ""


def _unpacked(context: AppContext, project_id: int, file: Path) -> Path:
    """The folder of a zip's model; one that was unpacked before is used again."""
    chosen = choose_model(list_models(file), file, None)
    digest = _digest(file)
    starts = context.workspace(project_id).folder / _STARTS
    target = starts / digest[:16]
    if _is_whole(target):
        return target
    starts.mkdir(parents=True, exist_ok=True)
    folder = new_folder(starts, ".unpacking-")
    try:
        foreign = unpack_foreign(file, chosen, folder)
        folds = fold_numbers(chosen)
        converted = convert_checkpoints(folder, folds)
        info = VersionInfo(
            name=file.name,
            class_values=foreign.labels,
            n_channels=len(foreign.channels),
            preset=replace(FULL, name="imported", trainer=converted.trainer, compile=False),
            folds=tuple(folds.values()),
            libraries=library_versions(),
        )
        write_document(folder / VERSION, VersionInfo, info)
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return target


def _is_whole(folder: Path) -> bool:
    """Whether a model that was unpacked is still all there."""
    try:
        info = read_version(folder)
        check_weights(folder, info)
        _check_files(folder, info)
    except PredictionError:
        return False
    return True


def _check_files(folder: Path, info: VersionInfo) -> None:
    for name in (PLANS, DATASET):
        if not (folder / name).exists():
            raise PredictionError(
                f"{info.name} has no {name} any more: {folder / name} is gone.",
                remedy="Put the file back, or start from another model.",
            )


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _mapped(
    theirs: tuple[str, ...], mapping: Mapping[str, str], group: LabelGroup
) -> dict[str, str]:
    unknown = [name for name in mapping if name not in theirs]
    if unknown:
        raise SettingsError(
            f"The model has no class {unknown[0]!r}.", remedy=f"It has {', '.join(theirs)}."
        )
    found = {}
    for name in theirs:
        wanted = mapping.get(name, name)
        label = find_class(wanted, group) if wanted else None
        if label in group.classes:
            found[name] = label.value
        elif label is not None:
            continue  # ignored, or background: no class to go on with
        elif mapping.get(name):
            raise SettingsError(
                f"The project has no label {wanted!r}.",
                remedy=f"It has {', '.join(label.value for label in group.classes)}.",
            )
    taken = list(found.values())
    twice = next((value for value in taken if taken.count(value) > 1), None)
    if twice is not None:
        names = ", ".join(name for name, value in found.items() if value == twice)
        raise SettingsError(
            f"Several classes of the model ({names}) stand for {twice!r}.",
            remedy="Leave all but one out: --map theirs=.",
        )
    return found
