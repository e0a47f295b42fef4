"""Folders of masks: which files are masks, and which images they are of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.bookkeeping.files import file_names
from converters.masks.label_map_files import (
    ARRAY_SUFFIXES,
    LOSSY_SUFFIXES,
    NIFTI_SUFFIXES,
    PICTURE_SUFFIXES,
    SUFFIXES,
)
from domain.errors import FileFormatError, SettingsError

FIRST_CHANNEL = "_0000"
"""How nnU-Net marks the first channel of an image."""

_NAME = "{name}"

_AFFIX = re.compile(
    r"(?:(?:mask|seg|label|gt)[_-](?P<after>.+))"
    r"|(?:(?P<before>.+?)[_-](?:masks?|seg|segmentation|labels?|gt|ground_?truth|annotation|1stHO"
    r"|manual1))",
    re.IGNORECASE,
)
"""What tools put before or behind the image's name. Second observers (2ndHO) are asked for."""

_IMAGE_ENDING = re.compile(r"\.(?:png|jpe?g|tiff?|bmp|webp|gif)$", re.IGNORECASE)

_OTHERS = (*NIFTI_SUFFIXES, *ARRAY_SUFFIXES, ".npz", ".mha", ".mhd", ".nrrd", ".dcm")
"""Files of pixels that are no pictures."""

_NO_CLASSES = re.compile(
    r"(?:images?|imgs?|masks?|labels?|annotations?|segmentations?|gt|train|val|valid|test)(?:T[rs])?",
    re.IGNORECASE,
)
"""Folders of a data set that are called so hold no masks of one class."""

_NNUNET_IMAGES = {"labelsTr": "imagesTr", "labelsTs": "imagesTs"}


@dataclass(frozen=True, slots=True)
class MaskFile:
    """A mask. ``names`` are the names without ending that its image may have, likeliest first."""

    path: Path
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MaskName:
    """How masks are called: a text with ``{name}`` for the image's name; "" is the usual ways.

    Raises:
        SettingsError: The text has not exactly one ``{name}``.

    >>> MaskName("{name}_1stHO").names_of("scan_1stHO")
    ('scan',)
    >>> MaskName().names_of("scan_mask")
    ('scan_mask', 'scan')
    """

    pattern: str = ""

    def __post_init__(self) -> None:
        if self.pattern and self.pattern.count(_NAME) != 1:
            raise SettingsError(
                f"--mask-name is {self.pattern!r}.",
                remedy="Put {name} where the image's name stands, as in '{name}_1stHO'.",
            )

    def names_of(self, stem: str) -> tuple[str, ...]:
        """Names the image of a mask may have; none when the file is no mask by this pattern."""
        if self.pattern:
            before, after = self._parts()
            is_one = stem.startswith(before) and stem.endswith(after)
            name = stem[len(before) : len(stem) - len(after)]
            return (name,) if is_one and name else ()
        names = [stem]
        if stem.endswith(FIRST_CHANNEL):
            names.append(stem.removesuffix(FIRST_CHANNEL))
        match = _AFFIX.fullmatch(names[-1])
        if match is not None:
            names.append(match["after"] or match["before"])
        names.append(_IMAGE_ENDING.sub("", names[-1]))  # scan.jpg.png, scan.jpg_mask.png
        return tuple(name for name in dict.fromkeys(names) if name)

    def _parts(self) -> tuple[str, str]:
        before, _, after = self.pattern.partition(_NAME)
        for suffix in (*SUFFIXES, *ARRAY_SUFFIXES, *LOSSY_SUFFIXES):
            after = after[: -len(suffix)] if after.lower().endswith(suffix) else after
        return before, after


def folder_of_masks(path: Path) -> Path:
    """Of nnU-Net's data set, and of nnloop's exports, the folder of the labels; else ``path``."""
    if (path / "labelsTr").is_dir():
        return path / "labelsTr"
    for name in ("labels", "masks"):
        if (path / name).is_dir() and (path / "classes.json").is_file():
            return path if _has_masks(path) else path / name
    return path


def images_beside(folder: Path) -> Path | None:
    """nnU-Net's folder of the images that a folder of its labels belongs to, or None."""
    images = folder.parent / _NNUNET_IMAGES.get(folder.name, "")
    return images if folder.name in _NNUNET_IMAGES and images.is_dir() else None


def not_read(folder: Path, read: Iterable[Path] = ()) -> list[str]:
    """What lies in or beside a folder of masks, may hold masks, and is none of those ``read``."""
    beside = [folder.parent / "labelsTs"] if folder.name == "labelsTr" else []
    folders = [path for path in sorted(folder.iterdir()) if path.is_dir()] + beside
    found = [f"the folder {path.name!r}" for path in folders if _has_pictures(path)]
    known = {path.name for path in read}
    files = (n for n in sorted(file_names(folder)) if not n.startswith(".") and n not in known)
    return found + [f"the file {name!r}" for name in files if name.lower().endswith(_OTHERS)]


def folders_of_classes(folder: Path, said: Mapping[str, str]) -> dict[str, Path]:
    """Class -> folder, where a folder of masks has one for every class; empty where it has not.

    Args:
        folder: Has no masks of its own then.
        said: Class -> name of its folder, where a file beside them says so; empty: two or more
            folders that hold pictures are called like their classes.
    """
    if not folder.is_dir() or _has_masks(folder):
        return {}
    if said:
        return {name: folder / sub for name, sub in said.items() if (folder / sub).is_dir()}
    found = [path for path in sorted(folder.iterdir()) if path.is_dir() and _has_pictures(path)]
    # A folder alone may be a patient's as well; it can be given itself.
    if len(found) < 2 or any(_NO_CLASSES.fullmatch(path.name) for path in found):
        return {}
    return {path.name: path for path in found if not path.name.startswith(".")}


def _has_masks(folder: Path) -> bool:
    endings = (*SUFFIXES, *ARRAY_SUFFIXES, *LOSSY_SUFFIXES)
    return any(name.lower().endswith(endings) for name in file_names(folder))


def _has_pictures(folder: Path) -> bool:
    return any(name.lower().endswith(PICTURE_SUFFIXES) for name in file_names(folder))


def mask_files(
    folder: Path, mask_name: MaskName | None = None, suffixes: Sequence[str] = SUFFIXES
) -> list[MaskFile]:
    """The masks in a folder, by name.

    NIfTI counts where there are no pictures (unless it is in ``suffixes``), then NumPy's arrays,
    then lossy pictures.

    An image beside its mask (``a.png`` and ``a_mask.png``) is no mask.

    Args:
        folder: Is listed, not deeper.
        mask_name: How they are called; None: in the usual ways.
        suffixes: The endings that count first.

    Raises:
        FileFormatError: The folder is missing, or nothing in it is a mask.
    """
    if not folder.is_dir():
        raise FileFormatError(f"There is no folder {folder}.", remedy="Correct the path.")
    how = mask_name or MaskName()
    names = sorted(name for name in file_names(folder) if not name.startswith("."))
    stems: dict[str, str] = {}
    for endings in (tuple(suffixes), NIFTI_SUFFIXES, ARRAY_SUFFIXES, LOSSY_SUFFIXES):
        stems |= {name: stem for name in names if (stem := _stem(name, endings)) is not None}
        if any(how.names_of(stem) for stem in stems.values()):
            break
    found = {name: how.names_of(stem) for name, stem in stems.items()}
    if not any(found.values()):
        as_asked = f" called {how.pattern!r}" if how.pattern and stems else ""
        example = f" (but {next(iter(stems))})" if as_asked else ""
        others = [] if as_asked else not_read(folder)
        example = f", only {', '.join(others[:3])}" if others else example
        raise FileFormatError(
            f"{folder} holds no label maps{as_asked}{example}.",
            remedy="Give a folder with PNG, TIF, BMP, GIF, NIfTI or NumPy files, one per image, "
            "and with --mask-name '{name}_mask' how they are called.",
        )
    of_masks = {other for names_ in found.values() for other in names_[1:]}
    return [
        MaskFile(folder / name, names_)
        for name, names_ in found.items()
        if names_ and not (stems[name] in of_masks and not how.pattern)
    ]


def _stem(name: str, suffixes: Iterable[str]) -> str | None:
    for suffix in suffixes:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return None
