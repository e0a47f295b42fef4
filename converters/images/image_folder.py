"""A folder of image files, searched by the addresses in tasks' data."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from converters.addresses.image_address import UPLOAD_PREFIX, is_upload, path_of, places
from converters.addresses.upload_names import name_keys, same_name_key

_CUT = re.compile(r"upload/\d+/[0-9a-f]{8}-(?P<start>.+)_\w{7}(?P<ending>\.\w+)$")
_LONGEST = 100
"""A stored name with its folder that would be longer is cut by Django: the end of its stem goes,
and seven random letters come."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """The file of an address; of several that it may be, none: they are ``rivals``, by name."""

    path: Path | None = None
    rivals: tuple[str, ...] = field(default=())


class FolderOfImages:
    """Finds files by address: under the very name, under one that a person reads as the same.

    An address is looked for as it stands; then as the stored name of an upload; then whatever its
    Unicode form (macOS writes NFD); then whatever its case. What then fits several files fits none.

    Args:
        folder: Is searched for the path of an address, and for its ends; not deeper. It is listed
            once.
        uploaded_as: Another name that a file may have been uploaded under.
    """

    def __init__(self, folder: Path, uploaded_as: Callable[[str], str] = str) -> None:
        self.folder, self._uploaded_as = folder, uploaded_as
        self._listings: dict[tuple[Path, Callable[[str], str]], dict[str, list[str]]] = {}
        self._uploads: dict[str, list[str]] | None = None
        self.find = lru_cache(maxsize=16)(self._find)

    def _find(self, address: str) -> FoundFile:
        found = list(places(address))
        for place in found:
            path = self.folder / place
            if _is_file(path):
                return FoundFile(path)
        bare = {UPLOAD_PREFIX.sub("", place) for place in found if UPLOAD_PREFIX.match(place)}
        for name in sorted(bare):
            as_upload = self._by_upload(name, is_certain=is_upload(address))
            if as_upload != FoundFile():
                return as_upload
        cut = _cut_name(address)
        if cut is not None:
            return self._by_cut_name(*cut)
        for key in (_nfc, _nfc_any_case):
            for place in [*found, *sorted(bare)]:
                resolved = self._by_key(place, key)
                if resolved != FoundFile():
                    return resolved
        return FoundFile()

    def _by_upload(self, name: str, *, is_certain: bool) -> FoundFile:
        """The file whose stored name this is, without its prefix."""
        if not is_certain and _is_file(self.folder / name):
            return FoundFile(self.folder / name)
        return self._only(self.folder, self._stored_names().get(same_name_key(name), []))

    def _by_cut_name(self, start: str, ending: str) -> FoundFile:
        """The file whose stored name was too long and begins and ends so."""
        files = {
            file
            for key, several in self._stored_names().items()
            if len(key) > len(start + ending) and key.startswith(start) and key.endswith(ending)
            for file in several
        }
        return self._only(self.folder, sorted(files))

    def _stored_names(self) -> dict[str, list[str]]:
        """Files by the names that Label Studio stores them under, without prefixes."""
        if self._uploads is None:
            self._uploads = {}
            for file in _names_in(self.folder):
                for key in {*name_keys(file), same_name_key(self._uploaded_as(file))}:
                    self._uploads.setdefault(key, []).append(file)
        return self._uploads

    def _by_key(self, place: str, key: Callable[[str], str]) -> FoundFile:
        """Each part of a path under a name with the same key."""
        folder = self.folder
        *parents, name = place.split("/")
        for part in parents:
            names = self._listing(folder, key).get(key(part), [])
            if len(names) != 1:
                return FoundFile()
            folder = folder / names[0]
        return self._only(folder, self._listing(folder, key).get(key(name), []))

    def _listing(self, folder: Path, key: Callable[[str], str]) -> dict[str, list[str]]:
        listing = self._listings.get((folder, key))
        if listing is None:
            listing = self._listings[folder, key] = {}
            for name in _names_in(folder):
                listing.setdefault(key(name), []).append(name)
        return listing

    @staticmethod
    def _only(folder: Path, names: list[str]) -> FoundFile:
        files = [name for name in names if _is_file(folder / name)]
        if len(files) == 1:
            return FoundFile(folder / files[0])
        return FoundFile(rivals=tuple(sorted(files)))


def was_cut(address: str) -> bool:
    """Whether it is that of an upload whose name Label Studio cut."""
    return _cut_name(address) is not None


def _cut_name(address: str) -> tuple[str, str] | None:
    """Start and ending of a name that was cut; None of any other."""
    cut = _CUT.search(path_of(address)) if is_upload(address) else None
    return (cut["start"], cut["ending"]) if cut is not None and len(cut[0]) == _LONGEST else None


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _nfc_any_case(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:  # no folder, or not ours to read
        return []


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name longer than the file system takes
        return False
