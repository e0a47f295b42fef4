"""Takes the files of one model out of a zip that may be hostile."""

from __future__ import annotations

import re
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from converters.bookkeeping.zips import opened_zip, parts_of
from domain.errors import FileFormatError
from training.folds.disk import check_free
from training.folds.spec import FINAL
from training.versions.version_folder import DATASET, PLANS

MAX_ENTRIES = 20_000
"""nnU-Net's own zips have a few dozen; with every validation prediction, some thousands."""
MAX_BYTES = 16 * 2**30
"""Of the files taken, unpacked: five folds of nnU-Net's largest residual encoder network."""
MAX_JSON_BYTES = 64 * 2**20

_CHECKPOINTS = (FINAL, "checkpoint_best.pth")
"""In the order they are looked for."""
_IDENTIFIER = re.compile(r"(?P<trainer>\w+)__(?P<plans>\w+)__(?P<configuration>\w+)", re.ASCII)
_FOLD = re.compile(r"fold_([0-9]{1,3}|all)")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model in the zip, by nnU-Net's name of its folder.

    ``folds`` maps nnU-Net's name of a fold (a number, or ``all``) to its checkpoint.
    """

    path: str
    folds: dict[str, str]

    @property
    def name(self) -> str:
        """``<trainer>__<plans>__<configuration>``."""
        return PurePosixPath(self.path).name

    @property
    def configuration(self) -> str:
        """nnU-Net's configuration, by the folder's name."""
        return self.name.split("__")[2]

    @property
    def dataset_name(self) -> str:
        """The folder above: nnU-Net's name of the data set; "" when there is none."""
        return PurePosixPath(self.path).parent.name


def list_models(file: Path) -> tuple[ModelFolder, ...]:
    """The models in a zip that have plans, data set and at least one checkpoint.

    Raises:
        FileFormatError: It is no zip, or an entry would be written outside the folder, is a link,
            is encrypted or stands in it twice.
    """
    with _open(file) as archive:
        return _models(_checked_names(archive, file))


def unpack_model(file: Path, model: ModelFolder, into: Path) -> None:
    """Writes plans.json, dataset.json and ``fold_<name>.pth`` of a model, and nothing else.

    Names of targets are ours, so no entry can choose where it is written. At most as many bytes
    are written as the zip declares, and that is checked before the first.

    Args:
        file: The zip.
        model: One of ``list_models``.
        into: An empty folder.

    Raises:
        FileFormatError: As for ``list_models``, or it unpacks to more than ``MAX_BYTES``.
        DiskFullError: There is no room for it.
    """
    with _open(file) as archive:
        _checked_names(archive, file)
        wanted = {f"{model.path}/{name}": into / name for name in (PLANS, DATASET)}
        wanted |= {path: into / f"fold_{name}.pth" for name, path in model.folds.items()}
        sizes = {name: archive.getinfo(name).file_size for name in wanted}
        total = sum(sizes.values())
        large = [n for n, size in sizes.items() if n.endswith(".json") and size > MAX_JSON_BYTES]
        if total > MAX_BYTES or large:
            raise FileFormatError(
                f"{file.name} unpacks to {total / 2**20:,.0f} MB"
                + (f", {large[0]} alone to {sizes[large[0]] / 2**20:,.0f} MB" if large else "")
                + ": more than a model of nnU-Net takes.",
                remedy="Export the model again, with fewer folds.",
            )
        check_free(into, total)
        for name, target in wanted.items():
            try:
                with target.open("wb") as sink:
                    for part in parts_of(archive, name):
                        sink.write(part)
            except zipfile.BadZipFile as error:
                raise FileFormatError(
                    f"{name} in {file.name} can't be unpacked: {error}.",
                    remedy="Copy the file again; it may have been cut off.",
                ) from error


def _open(file: Path) -> zipfile.ZipFile:
    try:
        return opened_zip(file)
    except (zipfile.BadZipFile, OSError) as error:
        raise FileFormatError(
            f"{file} is no zip file that can be read: {error}.",
            remedy="Give a zip by nnUNetv2_export_model_to_zip or `nnloop models export`.",
        ) from error


def _checked_names(archive: zipfile.ZipFile, file: Path) -> list[str]:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise FileFormatError(
            f"{file.name} has {len(entries)} entries, more than {MAX_ENTRIES}.",
            remedy="Give a zip with one model alone.",
        )
    seen = set()
    for entry in entries:
        path = PurePosixPath(entry.filename)
        fault = ""
        if not entry.filename:
            fault = "has no name"
        elif path.is_absolute() or ".." in path.parts or re.search(r"[\\:\0]", entry.filename):
            fault = "leads out of its folder"
        elif stat.S_ISLNK(entry.external_attr >> 16):
            fault = "is a link"
        elif entry.flag_bits & 1:
            fault = "is encrypted"
        elif entry.filename in seen:
            fault = "stands in it twice"
        if fault:
            raise FileFormatError(
                f"{file.name} is refused: its entry {entry.filename!r} {fault}.",
                remedy="Take the model from a source you trust, or export it again.",
            )
        seen.add(entry.filename)
    return [entry.filename for entry in entries if not entry.is_dir()]


def _models(names: list[str]) -> tuple[ModelFolder, ...]:
    present = set(names)
    fold_folders: dict[PurePosixPath, set[PurePosixPath]] = {}
    for parent in {PurePosixPath(name).parent for name in names}:
        fold_folders.setdefault(parent.parent, set()).add(parent)
    models = []
    for name in names:
        path = PurePosixPath(name)
        folder = path.parent
        if path.name != PLANS or not _IDENTIFIER.fullmatch(folder.name):
            continue
        folds = {}
        for fold_folder in sorted(fold_folders.get(folder, ())):
            fold = _FOLD.fullmatch(fold_folder.name)
            found = (f"{fold_folder}/{checkpoint}" for checkpoint in _CHECKPOINTS)
            chosen = next((n for n in found if n in present), None)
            if fold and chosen:
                folds[fold[1]] = chosen
        if folds and f"{folder}/{DATASET}" in present:
            models.append(ModelFolder(str(folder), folds))
    return tuple(models)
