"""A visit to the doctor: all questions about an installation and its projects, in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy.exc import SQLAlchemyError

from backend.deadline import OutOfTimeError, within
from backend.doctor.check import Check, not_looked, note, wrong
from backend.doctor.checks import OF_INSTALLATION, OF_PROJECT
from backend.doctor.examine import Examination, Looked
from backend.doctor.patient import Patient
from backend.doctor.support.known import Known
from backend.doctor.support.redaction import Redactor
from backend.pipeline.basis.connected import find_connected
from backend.store import projects
from domain.errors import NnloopError, NotConnectedError

FIND_S = 20.0


SETTINGS = Check("settings", "Can the settings be read?", lambda _: [])
"""Looked at while they are read: without them nothing else can be."""

WHICH = Check("which_project", "Which project is meant?", lambda _: [])


@dataclass
class Visit:
    """Everything that is asked, and what came of it.

    Attributes:
        patient: The installation.
        fixes: Whether to mend what may be mended.
        hides_images: Whether names of images are taken out of what is said.
        on_look: Told each finding as it comes; what it says must go through ``redactor`` first.
        on_project: Told the id of each project before it is looked at.
        known: What must be nowhere to be seen.
        redactor: Takes that out. Grows as more is known.
        looked: What was found.
        of_installation: What is asked once.
        of_project: What is asked of each project.
    """

    patient: Patient
    fixes: bool = False
    hides_images: bool = False
    on_look: Callable[[Looked], None] = lambda _: None
    on_project: Callable[[int], None] = lambda _: None
    known: Known = field(default_factory=Known)
    redactor: Redactor = field(default_factory=Redactor)
    looked: list[Looked] = field(default_factory=list)
    of_installation: Sequence[Check] = OF_INSTALLATION
    of_project: Sequence[Check] = OF_PROJECT

    def make(self, project: str | None) -> list[Looked]:
        """Asks all; of one project, or of every one that is connected."""
        self.known.add_settings(self.patient.settings)
        self.known.add_machine()
        self._know()
        examination = Examination(self.fixes, self.on_look, self.looked)
        examination.run(self.of_installation, self.patient)
        self._know()
        for project_id in self._projects(project):
            self.on_project(project_id)
            examination.run(self.of_project, self.patient.with_project(project_id))
        return self.looked

    @property
    def knows_people(self) -> bool:
        """Whether Label Studio said who has an account."""
        return self.patient.people is not None

    def know_images(self) -> None:
        """Learns the names of images, for a file in which none may stand."""
        self._know(with_images=True)

    def _know(self, *, with_images: bool = False) -> None:
        self.known.add_people(self.patient.people or ())
        if "store" in self.patient.there:
            wanted = with_images or self.hides_images
            with suppress(SQLAlchemyError, NnloopError):  # a check says what is wrong with it
                self.known.add_store(self.patient.store, with_images=wanted)
        self.redactor = self.known.redactor(hides_images=self.hides_images)

    def _projects(self, project: str | None) -> list[int]:
        try:
            return within(FIND_S, lambda: self._found(project))
        except (NnloopError, SQLAlchemyError, OutOfTimeError) as error:
            if isinstance(error, NnloopError):  # there is none, or several have the title
                finding = wrong(str(error), error.remedy)
            else:
                finding = not_looked(f"{project!r} can't be looked up: {error}")
            self._tell(Looked(WHICH, finding))
            return []

    def _found(self, project: str | None) -> list[int]:
        has_store = "store" in self.patient.there
        if project is None:
            if not has_store:
                return []
            with self.patient.store.read() as session:
                found = projects.all_ids(session)
            if not found:
                self._tell(
                    Looked(WHICH, note("No project is connected.", "nnloop connect PROJECT"))
                )
            return found
        if has_store:
            try:
                return [find_connected(self.patient.context, project)]
            except NotConnectedError:
                if "label_studio" not in self.patient.there:
                    raise
        if "label_studio" in self.patient.there:
            return [self.patient.client.find_project(project).id]
        if project.isdecimal():
            return [int(project)]
        raise NotConnectedError(
            f"Which project {project!r} is can't be told: neither the store nor Label Studio "
            "answers.",
            remedy="Name it by its id, the number in the address of its page",
        )

    def _tell(self, one: Looked) -> None:
        self.looked.append(one)
        self.on_look(one)
