"""The composition root of a project of files: a folder of its own, and no server."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from backend.from_files.labels.image_files import ImageFiles
from backend.from_files.local_queue import LocalQueue
from backend.pipeline.basis.context import AppContext
from backend.settings import Settings
from backend.store import STORE_FILE, Store, copy_database
from backend.store.training import versions
from training.devices import list_devices

DATA = "data"
"""Folder of the store, the cases and the versions, inside the one that a person named."""

PROJECT = 1
"""Id of the only project there."""


@dataclass(frozen=True)
class FilesContext(AppContext):
    """As ``AppContext``, with files in the place of Label Studio and no Redis."""

    queue: LocalQueue

    @classmethod
    def at(cls, folder: Path, store_in: Path | None = None) -> FilesContext:
        """Opens the folder's own store, and makes it where there is none.

        Args:
            folder: As a person named it.
            store_in: Where a copy of the store lies (``copy_store``): the folder itself is only
                read then. None: in the folder.

        Raises:
            SettingsError: A setting of the environment can't be used.
            StackError: The store can't be opened.
        """
        data = folder.resolve() / DATA
        settings = Settings.load().model_copy(
            # What the environment says of a service is of another installation.
            update={"data_dir": data, "database_url": "", "redis_url": "", "label_studio_url": ""}
        )
        home = store_in or data
        home.mkdir(parents=True, exist_ok=True)
        store = Store(settings.model_copy(update={"data_dir": home}).store_url, home)
        store.migrate()
        context = cls(settings, store, LocalQueue(list_devices()))
        context._follow()
        return context

    @staticmethod
    def copy_store(folder: Path, into: Path) -> bool:
        """Copies the folder's store as it is now, also while a training writes it.

        Args:
            folder: As a person named it; it may be one that can't be written.
            into: Where to.

        Returns:
            Whether there is one.

        Raises:
            OSError: It can't be read.
        """
        return copy_database(folder / DATA / STORE_FILE, into / STORE_FILE)

    @property
    def is_of_files(self) -> bool:
        """Always."""
        return True

    def _follow(self) -> None:
        """Lets the store know where its versions lie: the folder may have been moved or copied."""
        workspace = self.workspace(PROJECT)
        with self.store.begin() as session:
            for version in versions.versions_of(session, PROJECT):
                folder = str(workspace.version_dir(version.name))
                if version.path != folder:
                    version.path = folder

    @cached_property
    def _image_files(self) -> ImageFiles:
        return ImageFiles.in_folder(self.settings.data_dir)

    @property
    def images(self) -> ImageFiles:
        """The files."""
        return self._image_files
