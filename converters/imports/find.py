"""Finds the image files of a source."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from converters.addresses.image_address import places
from converters.addresses.upload_names import same_name_key, without_prefix
from converters.bookkeeping.files import file_names
from converters.imports.source import ImportedImage
from converters.masks.mask_folders import FIRST_CHANNEL

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif")

_URL = re.compile(r"[a-z][a-z0-9+.-]+://|/data/|data:", re.IGNORECASE)


class ImageFinder:
    """Finds the image files of a source.

    A name is looked for as it stands, then in the other Unicode form, then in the form Label Studio
    stores, then whatever its case; a path in the name is tried whole, then from its end; of an
    image known by its name without ending (``ImportedImage.stems``) every ending.

    Args:
        folder: Where they are; None: where the source's own folders have them, if at all.
        prefix: Put before every name (``train_``).
        endings: Of files that are images, in lower case.
    """

    def __init__(
        self, folder: Path | None, prefix: str = "", endings: Sequence[str] = IMAGE_ENDINGS
    ) -> None:
        self._folder, self._prefix, self._endings = folder, prefix, tuple(endings)
        self._names_in: dict[Path, set[str]] = {}
        self._by_key: dict[tuple[Path, str], dict[str, list[str]]] = {}

    @property
    def has_folder(self) -> bool:
        """Whether somebody said where the images are."""
        return self._folder is not None

    def names(self, image: ImportedImage) -> list[str]:
        """Paths the image may have below a folder of images, likeliest first."""
        return list(self._candidates(image))

    def find(self, image: ImportedImage) -> Path | None:
        """The image's file, or None."""
        if self._folder is None:
            return image.path
        candidates = list(self._candidates(image))
        for name in candidates:
            path = self._folder / name
            if path.name in self._listed(path.parent) and path.is_file() and path != image.mask:
                return path
        for kind, key_of in _KEYS.items():
            for name in candidates:
                path = self._folder / name
                found = self._keyed(path.parent, kind, key_of).get(key_of(path.name), [])
                if len(found) == 1 and path.parent / found[0] != image.mask:
                    return path.parent / found[0]
        return None

    def rivals(self, image: ImportedImage, path: Path) -> list[str]:
        """Names of other files that may be the image as well as the one that was found.

        As scan.jpg and scan.tif of an image that is known as scan alone; one that has the very
        name that the source says has no rival.
        """
        if self._folder is None or not image.stems or path.name == _parts(image.file_name)[-1]:
            return []
        others = (self._folder / name for name in self._candidates(image))
        found = {
            other.name
            for other in others
            if other.parent == path.parent
            and other.name in self._listed(path.parent)
            and other not in (path, image.mask)
        }
        return sorted(found)

    def name_of(self, image: ImportedImage, path: Path | None) -> str:
        """The image's name in a task: its path below the folder, else what the source says."""
        if path is not None and self._folder is not None:
            return path.relative_to(self._folder).as_posix()
        if path is None and _URL.match(image.file_name):
            return image.file_name
        if path is not None and image.stems and image.path is not None:
            return "/".join([*_parts(image.file_name)[:-1], path.name])
        return "/".join(_parts(image.file_name)) or image.file_name

    def _candidates(self, image: ImportedImage) -> Iterator[str]:
        parts = _parts(image.file_name)
        if not parts:
            return
        bare = without_prefix(parts[-1])  # what Label Studio exports is named as it stores it
        for name in (parts[-1], bare) if bare != parts[-1] else (bare,):
            for start in range(len(parts)):
                yield "/".join([*parts[start:-1], self._prefix + name])
        for place in places(image.file_name):  # an address, or quoted as in one
            inside, slash, last = place.rpartition("/")
            yield inside + slash + self._prefix + last
        for start in range(len(parts)) if image.stems else ():
            folder = parts[start:-1]
            for stem in image.stems:
                for channel in ("", FIRST_CHANNEL):
                    for ending in self._endings:
                        for written in (ending, ending.upper()):
                            yield "/".join([*folder, self._prefix + stem + channel + written])

    def _listed(self, folder: Path) -> set[str]:
        if folder not in self._names_in:
            self._names_in[folder] = file_names(folder)
        return self._names_in[folder]

    def _keyed(self, folder: Path, kind: str, key_of: Callable[[str], str]) -> dict[str, list[str]]:
        if (folder, kind) not in self._by_key:
            found: dict[str, list[str]] = {}
            for name in sorted(self._listed(folder)):
                found.setdefault(key_of(name), []).append(name)
            self._by_key[folder, kind] = found
        return self._by_key[folder, kind]


def _parts(file_name: str) -> list[str]:
    """A path's parts with nothing that leaves the folder."""
    cleaned = file_name.replace("\\", "/").replace("\0", "")[:1000]
    return [part for part in cleaned.split("/") if part not in ("", ".", "..")]


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _any_case(name: str) -> str:
    return same_name_key(name).casefold()


_KEYS: dict[str, Callable[[str], str]] = {
    "nfc": _nfc,
    "stored": same_name_key,
    "any case": _any_case,
}
"""When two names count as one, strictest first."""
