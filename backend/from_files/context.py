"""The composition root of a project of files: a folder of its own, and no server."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from backend.from_files.image_files import ImageFiles
from backend.from_files.local_queue import LocalQueue
from backend.pipeline.basis.context import AppContext, ImageServer
from backend.settings import Settings
from backend.store import Store
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
    def at(cls, folder: Path) -> FilesContext:
        """Opens the folder's own store, and makes it where there is none.

        Args:
            folder: As a person named it.

        Raises:
            SettingsError: A setting of the environment can't be used.
        """
        data = folder.resolve() / DATA
        settings = Settings.load().model_copy(
            # What the environment says of a service is of another installation.
            update={"data_dir": data, "database_url": "", "redis_url": "", "label_studio_url": ""}
        )
        data.mkdir(parents=True, exist_ok=True)
        store = Store(settings.store_url, data)
        store.migrate()
        context = cls(settings, store, LocalQueue(list_devices()))
        context._follow()
        return context

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
    def images(self) -> ImageServer:
        """The files."""
        return self._image_files
