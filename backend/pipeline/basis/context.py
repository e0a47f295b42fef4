"""The composition root: one object with everything a process of nnloop works with."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from filelock import FileLock

from backend.label_studio import LabelStudioClient
from backend.label_studio.images import FetchedImage
from backend.pipeline.basis.loading import ImageLoads
from backend.queue import JobQueue
from backend.settings import Settings, installation_id, installation_name
from backend.settings.image_hosts import ImageHosts
from backend.settings.private_folder import make_private, make_store_file
from backend.store import Store
from backend.store.database import STORE_FILE, require_moved
from domain.errors import StackError
from domain.stillness import Stillness
from training.workspace import Workspace

logger = logging.getLogger(__name__)

LOCKS = "locks"
"""Folder of the files that are locked."""


class ImageServer(Protocol):
    """Where the images of tasks are read: Label Studio, or the files of a project without one."""

    def fetch_changed(
        self, uri: str, task_id: int, project_id: int, *, unless_tag: str = ""
    ) -> FetchedImage | None:
        """An image file with its tag; None when it still has the tag ``unless_tag``."""
        ...

    def project(self, project_id: int) -> object:
        """Raises LabelStudioError while images can't be read for a reason that is no image's."""
        ...


class OpenScoring(Protocol):
    """Predictions under way; see ``backend.pipeline.predictions.open_pool``."""

    def close(self) -> None:
        """Gives up what is under way."""
        ...


@dataclass(frozen=True)
class AppContext:
    """Settings, store, queue and Label Studio of one process."""

    settings: Settings
    store: Store
    queue: JobQueue

    @classmethod
    def open(cls, settings: Settings | None = None) -> AppContext:
        """Reads the settings, opens the store and migrates it; Redis is reached when needed.

        Raises:
            SettingsError: A setting can't be used.
            StackError: The data folder is another user's, or the store can't be opened.
        """
        settings = settings or Settings.load()
        try:
            found = make_private(settings.data_dir, settings.umask_bits)
            # What was changed is said once; what nobody can change is no news to every command.
            if found.said:
                logger.log(logging.WARNING if found.is_private else logging.INFO, found.said)
            if not settings.database_url:
                make_store_file(settings.data_dir / STORE_FILE, settings.umask_bits)
            store = Store(settings.store_url, settings.data_dir)
            store.migrate()
            if settings.database_url:
                require_moved(store, settings.data_dir)
            folder = installation_id(settings.data_dir)
            queue = JobQueue(settings.redis_url, installation_name(folder, settings.store_kind))
        except PermissionError as error:
            raise StackError(
                f"The data folder {settings.data_dir} is another user's ({error.filename}: "
                f"{error.strerror}).",
                remedy="Ask that user, or name a folder of your own (NNLOOP_DATA_DIR). How several "
                "share one: docs/securing.md.",
            ) from error
        return cls(settings, store, queue)

    @property
    def is_of_files(self) -> bool:
        """Whether images lie in files, and there is no service: advice about one is no help."""
        return False

    @cached_property
    def label_studio(self) -> LabelStudioClient:
        """The client; SettingsError when Label Studio's address or key is not set."""
        url, key = self.settings.require_label_studio()
        client = LabelStudioClient(url, key)
        client.image_deadline_s = self.settings.image_deadline_s
        client.image_hosts = ImageHosts.parse(self.settings.image_hosts)
        return client

    @property
    def images(self) -> ImageServer:
        """Where images are read."""
        return self.label_studio

    @cached_property
    def image_loads(self) -> ImageLoads:
        """The images that this process is reading."""
        return ImageLoads()

    @cached_property
    def seen_leases(self) -> Stillness:
        """Since when this process has seen the leases of runs and folds as they are."""
        return Stillness()

    @cached_property
    def open_scorings(self) -> dict[int, OpenScoring]:
        """What of pools this process has begun to score, by project id."""
        return {}

    def workspace(self, project_id: int) -> Workspace:
        """The project's folder of cases, runs and versions."""
        return Workspace(self.settings.data_dir, project_id)

    def lock_of(self, what: str, project_id: int) -> FileLock:
        """A lock between the processes of this data folder: who does ``what`` for a project.

        Its file lies apart from the project's own folder, which may be moved aside meanwhile.
        """
        folder = self.settings.data_dir / LOCKS
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{what}-{project_id}.lock")
