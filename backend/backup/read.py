"""Opens a backup, and looks whether all of it is there and as it was written."""

from __future__ import annotations

import hashlib
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from backend.backup.contents import CONTENTS, STORE, Contents
from backend.backup.saved_store import SavedStore
from backend.store.upgrade import known_revisions
from converters.bookkeeping.zips import opened_zip, parts_of
from domain.errors import FileFormatError

_MOST_CONTENTS = 1 << 28
_BAD = (KeyError, zipfile.BadZipFile)


class Backup:
    """An open backup."""

    def __init__(self, file: zipfile.ZipFile, path: Path) -> None:
        self._file = file
        self._path = path
        self.contents = self._read_contents()

    def copy(self, name: str, target: BinaryIO | None = None) -> None:
        """Reads a file of the backup, into ``target`` if there is one.

        Raises:
            FileFormatError: It is missing, or other than it was written.
            OSError: The target can't be written.
        """
        member = self.contents.members[name]
        digest, n_bytes = hashlib.sha256(), 0
        try:
            for part in parts_of(self._file, name):
                n_bytes += len(part)
                if n_bytes > member.n_bytes:
                    break
                digest.update(part)
                if target is not None:
                    target.write(part)
        except _BAD as error:
            why = "it is missing" if isinstance(error, KeyError) else "it can't be unpacked"
            raise self._damaged(name, why) from None
        if n_bytes != member.n_bytes or digest.hexdigest() != member.sha256:
            raise self._damaged(name, "it is not what was written")

    def saved_store(self, folder: Path) -> SavedStore:
        """Copies the store into a folder and reads it.

        Raises:
            FileFormatError: It is damaged, of a newer nnloop, or lacks the weights of a version.
        """
        path = folder / STORE
        with path.open("wb") as target:
            self.copy(STORE, target)
        saved = SavedStore.read(path)
        if saved.revision not in known_revisions():
            raise FileFormatError(
                f"The store in the backup is of a newer nnloop ({self.contents.nnloop}).",
                remedy="Restore it with that release or a newer one.",
            )
        for version in saved.versions:
            folder_name = f"projects/{version.project_id}/models/{version.name}/"
            names = [name for name in self.contents.members if name.startswith(folder_name)]
            if f"{folder_name}version.json" not in names:
                raise FileFormatError(
                    f"The backup {self._path} lacks the files of {version.name} of project "
                    f"{version.project_id}.",
                    remedy="Use another backup.",
                )
        return saved

    def _read_contents(self) -> Contents:
        try:
            if self._file.getinfo(CONTENTS).file_size > _MOST_CONTENTS:
                raise FileFormatError(f"{self._path} is no backup of nnloop.")
            return Contents.from_json(b"".join(parts_of(self._file, CONTENTS)))
        except _BAD:
            raise _no_backup(self._path) from None

    def _damaged(self, name: str, why: str) -> FileFormatError:
        return FileFormatError(
            f"The backup {self._path} is damaged: {name}: {why}.", remedy="Use another backup."
        )


def _no_backup(path: Path) -> FileFormatError:
    return FileFormatError(
        f"{path} is no backup of nnloop, or was cut off.", remedy="Use another file."
    )


@contextmanager
def open_backup(path: Path) -> Iterator[Backup]:
    """Opens a backup; FileFormatError when it is none, or can't be read."""
    try:
        file = opened_zip(path)
    except zipfile.BadZipFile:
        raise _no_backup(path) from None
    except OSError as error:
        raise FileFormatError(
            f"{path} can't be read: {error.strerror or type(error).__name__}.",
            remedy="Name a file that `nnloop backup` has written.",
        ) from None
    with file:
        yield Backup(file, path)


def verify_backup(
    path: Path, on_bytes: Callable[[int, int], None] = lambda done, total: None
) -> Contents:
    """Reads a whole backup and compares it with its table; FileFormatError says what is wrong.

    Args:
        path: The backup.
        on_bytes: Told how many bytes were read, and of how many.
    """
    with open_backup(path) as backup, tempfile.TemporaryDirectory() as scratch:
        backup.saved_store(Path(scratch))
        done = 0
        for name, member in backup.contents.members.items():
            if name != STORE:
                backup.copy(name)
            done += member.n_bytes
            on_bytes(done, backup.contents.n_bytes)
        return backup.contents
