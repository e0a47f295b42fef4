"""Patient: the installation that is looked at, opened part by part, whatever is missing of it."""

from __future__ import annotations

from functools import cached_property

from sqlalchemy.orm import Session

from backend.doctor.check import NotLookedError
from backend.label_studio import LabelStudioClient, ProjectInfo, User
from backend.pipeline.basis.context import AppContext
from backend.pipeline.sync.drift import Connection
from backend.queue import JobQueue
from backend.settings import Settings
from backend.settings.data_folder import installation_name, known_installation_id
from backend.settings.image_hosts import ImageHosts
from backend.store import Store, projects
from backend.store.models import ProjectRow

CALL_S = 8.0
"""Longest time of one call to Label Studio: less than a check may take."""


class Patient:
    """Settings, store, queue and Label Studio of an installation.

    Nothing is made: no folder, no table, no password. What a check finds and later ones need is
    kept here: ``there`` names what can be used (``Check.provides``). ``project_id`` is the project
    that is looked at; None outside of one.
    """

    def __init__(self, settings: Settings, project_id: int | None = None) -> None:
        self.settings = settings
        self.project_id = project_id
        self.info: ProjectInfo | None = None
        self.connection: Connection | None = None
        self.people: tuple[User, ...] | None = None
        self.there: set[str] = set()

    @classmethod
    def of(cls, context: AppContext, project_id: int | None = None) -> Patient:
        """That of a process that has opened all already."""
        made = cls(context.settings, project_id)
        made.__dict__.update(store=context.store, queue=context.queue, context=context)
        return made

    def with_project(self, project_id: int) -> Patient:
        """The same installation, with a project to look at."""
        made = Patient(self.settings, project_id)
        parts = ("store", "queue", "client", "context")
        made.__dict__.update({name: self.__dict__[name] for name in parts if name in self.__dict__})
        made.there, made.people = set(self.there), self.people
        return made

    @cached_property
    def store(self) -> Store:
        """The store, not reached yet and as it is; StackError where its address is none."""
        return Store(self.settings.store_url, self.settings.data_dir)

    @cached_property
    def queue(self) -> JobQueue:
        """The queue, not reached yet; ValueError where Redis' address is none."""
        folder = known_installation_id(self.settings.data_dir)
        name = installation_name(folder, self.settings.store_kind)
        return JobQueue(self.settings.redis_url, name)

    @cached_property
    def context(self) -> AppContext:
        """What the pipeline works with; errors as ``store`` and ``queue``."""
        made = AppContext(self.settings, self.store, self.queue)
        if "client" in self.__dict__:
            made.__dict__["label_studio"] = self.client
        return made

    @cached_property
    def client(self) -> LabelStudioClient:
        """Label Studio; SettingsError where its address or key is not set or can't be one."""
        if "context" in self.__dict__ and "label_studio" in self.context.__dict__:
            return self.context.label_studio
        url, key = self.settings.require_label_studio()
        made = LabelStudioClient(url, key, timeout_s=CALL_S)
        made.image_deadline_s = min(self.settings.image_deadline_s, CALL_S)
        made.image_hosts = ImageHosts.parse(self.settings.image_hosts)
        return made

    @property
    def asked_project(self) -> int:
        """The project that is looked at."""
        if self.project_id is None:
            raise NotLookedError("no project was named")
        return self.project_id

    @property
    def project_info(self) -> ProjectInfo:
        """The project as Label Studio has it, read by the check ``project``."""
        if self.info is None:
            raise NotLookedError("the project was not found in Label Studio")
        return self.info

    @property
    def held(self) -> Connection:
        """What Label Studio holds of the connection, read by the check ``reached``."""
        if self.connection is None:
            raise NotLookedError("the project's backends and webhooks were not read")
        return self.connection

    def row(self, session: Session) -> ProjectRow:
        """The project as it was connected; NotConnectedError where it was not."""
        return projects.get(session, self.asked_project)
