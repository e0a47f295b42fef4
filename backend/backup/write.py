"""Writes a backup while everything runs."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import sqlite3
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

from pydantic import SecretStr

from backend.backup.contents import (
    CONTENTS,
    SECRETS,
    SETTINGS,
    STORE,
    Contents,
    Member,
    files_beside_versions,
    files_of_version,
)
from backend.backup.saved_store import SavedStore, copy_store, mark_pruned
from backend.credentials import service_credentials
from backend.pipeline.basis.context import AppContext
from backend.settings import Settings
from converters.bookkeeping.files import replace_with
from domain.errors import DiskFullError, FileFormatError
from domain.text import one_line
from training.versions.version_folder import size_bytes

_PART = 1 << 20


def write_backup(
    context: AppContext,
    file: Path,
    *,
    with_secrets: bool = False,
    on_bytes: Callable[[int, int], None] = lambda done, total: None,
) -> Contents:
    """Writes a backup; services may run, and nothing waits for it.

    The store is copied as it is at one moment, and then the versions that it names: a version never
    changes. One that is pruned meanwhile counts as pruned in the copy. The file appears when it is
    complete; only its owner may read it.

    Args:
        context: Of the data folder to back up.
        file: To write.
        with_secrets: Whether passwords and keys go into it, unencrypted.
        on_bytes: Told how many bytes of the versions are done, and of how many.

    Returns:
        What is in it.

    Raises:
        FileFormatError: There is such a file, or its folder can't be written.
        DiskFullError: No room for it.
    """
    if file.exists():
        raise FileFormatError(
            f"{file} exists already.", remedy="Name another file: a backup replaces none."
        )
    found: list[Contents] = []

    def fill(target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".nnloop-backup-") as scratch:
            found.append(_write(context, target, Path(scratch), with_secrets, on_bytes))

    try:
        replace_with(file, fill, mode=0o600)
    except (OSError, sqlite3.OperationalError) as error:
        is_full = "is full" in str(error) or getattr(error, "errno", 0) == errno.ENOSPC
        if is_full:
            raise DiskFullError(
                f"There is no room for the backup {file}.",
                remedy="Free space there, or name another disk.",
            ) from None
        raise FileFormatError(
            f"The backup {file} can't be written: {one_line(error)}.",
            remedy="Name a file in a folder that you may write to.",
        ) from None
    return found[0]


class _Archive:
    """The zip that is written, and the hashes of what is in it."""

    def __init__(self, file: zipfile.ZipFile, data_dir: Path) -> None:
        self._file = file
        self._data_dir = data_dir
        self.members: dict[str, Member] = {}

    def add(self, name: str, source: BinaryIO, *, is_packed: bool) -> None:
        """Adds what can be read from ``source``."""
        info = zipfile.ZipInfo(name, time.gmtime()[:6])
        info.compress_type = zipfile.ZIP_DEFLATED if is_packed else zipfile.ZIP_STORED
        info.external_attr = 0o600 << 16
        digest, n_bytes = hashlib.sha256(), 0
        with self._file.open(info, "w", force_zip64=True) as target:
            while part := source.read(_PART):
                digest.update(part)
                n_bytes += len(part)
                target.write(part)
        self.members[name] = Member(n_bytes, digest.hexdigest())

    def add_file(self, path: Path) -> bool:
        """Adds a file of the data folder; whether it was still there."""
        name = path.relative_to(self._data_dir).as_posix()
        try:
            with path.open("rb") as source:
                # Weights hardly shrink, and would take minutes.
                self.add(name, source, is_packed=path.suffix == ".json")
        except FileNotFoundError:
            return False
        return True

    def add_version(self, folder: Path) -> bool:
        """Adds a version; False where it was pruned meanwhile. Its files then count as absent."""
        paths = files_of_version(folder)
        if paths and all(self.add_file(p) for p in paths) and files_of_version(folder) == paths:
            return True
        for path in paths:
            self.members.pop(path.relative_to(self._data_dir).as_posix(), None)
        return False


def _write(
    context: AppContext,
    target: Path,
    scratch: Path,
    with_secrets: bool,
    on_bytes: Callable[[int, int], None],
) -> Contents:
    settings = context.settings
    copy = scratch / STORE
    copy_store(context.store.engine, copy)
    saved = SavedStore.read(copy)
    folders = {
        one.id: context.workspace(one.project_id).version_dir(one.name) for one in saved.versions
    }
    with zipfile.ZipFile(target, "w", allowZip64=True, compresslevel=1) as file:
        archive = _Archive(file, settings.data_dir)
        sizes = {version_id: size_bytes(folder) for version_id, folder in folders.items()}
        total, done = sum(sizes.values()), 0
        gone = []
        for version_id, folder in folders.items():
            if not archive.add_version(folder):
                gone.append(version_id)
            done += sizes[version_id]
            on_bytes(done, total)
        for project_id in saved.projects:
            for path in files_beside_versions(context.workspace(project_id)):
                archive.add_file(path)
        mark_pruned(copy, gone)
        with copy.open("rb") as store:
            archive.add(STORE, store, is_packed=True)
        archive.add(SETTINGS, _json(_plain(settings)), is_packed=True)
        if with_secrets:
            archive.add(SECRETS, _json(_secret(settings)), is_packed=True)
        contents = Contents(
            version("nnloop"),
            time.time(),
            saved.revision,
            saved.counts,
            with_secrets,
            archive.members,
        )
        file.writestr(CONTENTS, contents.to_json())
    with target.open("rb") as written:
        os.fsync(written.fileno())
    return contents


def _json(value: Mapping[str, object]) -> BinaryIO:
    return io.BytesIO((json.dumps(value, indent=1, default=str) + "\n").encode())


def _plain(settings: Settings) -> dict[str, object]:
    """What the installation runs with, by the names of the settings file; for people to read."""
    fields = type(settings).model_fields
    return {
        name: value
        for name, field in fields.items()
        if field.repr and not isinstance(value := getattr(settings, name), SecretStr)
    }


def _secret(settings: Settings) -> dict[str, object]:
    user, password = service_credentials(settings)
    return {
        "label_studio_api_key": settings.label_studio_api_key.get_secret_value(),
        "database_url": settings.database_url,
        "redis_url": settings.redis_url,
        "notify_command": settings.notify_command.get_secret_value(),
        "notify_url": settings.notify_url.get_secret_value(),
        "basic_auth_user": user,
        "basic_auth_pass": password,
    }
