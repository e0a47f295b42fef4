"""Tasks of another Label Studio, with their annotations and predictions, in this one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from backend.label_studio import LabelStudioClient, TaskHead
from backend.pipeline.files.deeds import EDITED, REPLACED, UNCHANGED
from backend.store.training.versions import OWN_NAME
from converters.classes.matching import MatchedClasses
from converters.imports.addresses import is_shown
from converters.imports.fitting import Fitting
from converters.imports.run import ImportJob
from converters.imports.scores import Score, score_of_prediction
from converters.imports.source import ImportedImage, Said
from converters.imports.tasks import LOST
from converters.label_studio.same_label import is_same_label
from domain.annotation import Annotation, LeftOut
from domain.errors import LabelStudioError
from domain.text import counted

_UPLOAD = re.compile(r"(https?://[^/]+)?/data/upload/")


class Predicted(NamedTuple):
    """A prediction as it goes in."""

    result: list[dict[str, Any]]
    score: Score
    model_version: str


@dataclass(slots=True)
class Copied:
    """What of a task was taken over.

    Attributes:
        deed: What became of its annotations, where they were there before.
        record: What the next run has to know.
        predictions: To be stored.
        notes: What was lost or stayed.
        refused: Why nothing of it was taken; None.
    """

    deed: str = UNCHANGED
    record: dict[str, Any] = field(default_factory=dict)
    predictions: list[Predicted] = field(default_factory=list)
    notes: list[LeftOut] = field(default_factory=list)
    refused: LeftOut | None = None


def is_elsewhere(image: ImportedImage) -> bool:
    """Whether the address of a task's image means something on any server.

    Uploads are files of the server that has them.
    """
    address = image.said.address if image.said is not None else ""
    return is_shown(address) and _UPLOAD.match(address) is None


class Copying:
    """Writes annotations of another Label Studio's tasks into those of a project.

    Args:
        client: Of the server.
        job: What is imported.
        again: Tasks that have an annotation of somebody else get theirs beside it.
    """

    def __init__(self, client: LabelStudioClient, job: ImportJob, *, again: bool) -> None:
        classes = job.found.classes if job.found is not None else MatchedClasses({})
        self._fitting = Fitting(job.config, classes)
        self._client, self._job, self._again = client, job, again
        # Whose annotations were taken over: as the other server calls them -> our user, or None.
        self._authors: dict[str, int | None] = {}
        self._users: dict[str, int] | None = None
        self._renamed: dict[str, str] = {}

    def fields(self, image: ImportedImage, held: str) -> dict[str, Any]:
        """A task's data: the source's, with the image at ``held`` ("" = at its own address)."""
        assert image.said is not None  # noqa: S101 - of such a format alone
        data = {k: v for k, v in image.said.data.items() if not _is_upload(v)}
        return {**data, self._job.config.image_key: held or image.said.address}

    def copy(
        self,
        image: ImportedImage,
        head: TaskHead,
        here: Sequence[Annotation],
        record: Mapping[str, Any],
    ) -> Copied:
        """Brings the annotations of a task to what the source says.

        Those of an earlier run are replaced where nobody has touched them since; what a person
        changed or deleted stays so.

        Args:
            image: A task of the source.
            head: The task here.
            here: Its annotations, as they are now.
            record: What the run before kept.
        """
        said = image.said
        assert said is not None  # noqa: S101 - of such a format alone
        copied = Copied()
        self._complete(image, head, copied)
        known: dict[str, Any] = dict(record.get("annotations", {}))
        if self._job.as_ == "annotations":
            self._annotate(image, said, head, here, known, copied)
        copied.record = {"annotations": known}
        self._predict(image, said, copied)
        if copied.refused is not None and copied.predictions:
            # What was predicted disturbs nobody's annotation.
            copied.notes.append(copied.refused)
            copied.refused = None
        return copied

    def remarks(self) -> tuple[str, ...]:
        """What of the whole a person should know, in sentences."""
        said = []
        strangers = sorted(name for name, user in self._authors.items() if user is None)
        if strangers and len(self._authors) > 1:
            said.append(
                f"The annotations of {counted(len(strangers), 'person', 'people')} "
                f"({', '.join(strangers)} on the other server) are now of the key's user: each is "
                "kept, whose it was is not. Whose e-mail address the export says, and is that of a "
                "user here, keeps theirs."
            )
        for theirs, ours in sorted(self._renamed.items()):
            said.append(
                f"Predictions of {theirs!r} are called {ours!r} here: they are no version of this "
                "project's."
            )
        return tuple(said)

    def _complete(self, image: ImportedImage, head: TaskHead, copied: Copied) -> None:
        """Adds the fields that the task lacks; what it has stays."""
        assert image.said is not None  # noqa: S101 - of such a format alone
        for name, value in image.said.data.items():
            if _is_upload(value):
                message = (
                    f"The field {name!r} of {image.file_name!r} is a file of the other server and "
                    "is not imported."
                )
                copied.notes.append(LeftOut(image.number, "other_file", message))
        wanted = self.fields(image, str(head.data.get(self._job.config.image_key) or ""))
        missing = {k: v for k, v in wanted.items() if k not in head.data}
        if missing:
            self._client.update_data(head.id, {**head.data, **missing})
            head.data.update(missing)

    def _annotate(
        self,
        image: ImportedImage,
        said: Said,
        head: TaskHead,
        here: Sequence[Annotation],
        known: dict[str, Any],
        copied: Copied,
    ) -> None:
        held = {a.id: a for a in here}
        ours = {int(one["id"]) for one in known.values()}
        n_taken, why = 0, None
        for position, theirs in enumerate(said.annotations):
            key = str(theirs.id or f"number {position}")
            what = f"Annotation {key} of {image.file_name!r}"
            fitted = self._fitting.fit(theirs.result, image.number, what)
            copied.notes += fitted.notes
            if fitted.is_lost:
                message = f"{what} lost all its regions and is left out."
                copied.notes.append(LeftOut(image.number, LOST, message))
                continue
            if key in known:
                self._renew(known[key], held, fitted.result, what, image.number, copied)
                n_taken += 1
                continue
            same = next((a for a in here if a.id not in ours and _is_same(a, theirs, fitted)), None)
            if same is not None:  # of a run that was killed, or a person did the same
                annotation_id = same.id
            elif set(held) - ours and not self._again:
                message = (
                    f"Task {head.id}, which has the image {image.file_name!r}, has an annotation "
                    "of its own; it stays as it is. --again puts the imported one beside it."
                )
                why = LeftOut(image.number, "labelled", message)
                continue
            else:
                annotation_id = self._client.annotate(
                    head.id,
                    fitted.result,
                    was_cancelled=theirs.was_cancelled,
                    ground_truth=theirs.ground_truth,
                    lead_time=theirs.lead_time_s,
                    completed_by=self._user_of(theirs),
                )
                copied.deed = REPLACED if known else copied.deed
            n_taken += 1
            ours.add(annotation_id)
            known[key] = {"id": annotation_id, "written": fitted.result}
            if theirs.email or theirs.completed_by:
                name = theirs.email or str(theirs.completed_by)
                self._authors[name] = self._user_of(theirs)
        if why is not None and not n_taken:
            copied.refused = why
        elif why is not None:
            copied.notes.append(why)

    def _user_of(self, theirs: Annotation) -> int | None:
        """The user here who has the author's e-mail address; None where there is no such one.

        An id is that of the other server: here it may be anybody's.
        """
        if not theirs.email:
            return None
        if self._users is None:
            try:
                users = self._client.list_users()
            except LabelStudioError:  # who may not list people has nobody to give them to
                users = []
            self._users = {user.email.casefold(): user.id for user in users}
        return self._users.get(theirs.email.casefold())

    def _renew(
        self,
        known: dict[str, Any],
        held: Mapping[int, Annotation],
        result: list[dict[str, Any]],
        what: str,
        number: int,
        copied: Copied,
    ) -> None:
        """An annotation of an earlier run: replaced where only the source has changed."""
        if is_same_label(known["written"], result):
            return
        here = held.get(int(known["id"]))
        if here is None or not is_same_label(known["written"], here.result):
            did = "deleted" if here is None else "edited"
            message = f"{what} was {did} here since it was imported; that stays so."
            copied.notes.append(LeftOut(number, "edited", message))
            copied.deed = EDITED
            return
        self._client.update_annotation(here.id, result)
        known["written"] = result
        copied.deed = REPLACED

    def _predict(self, image: ImportedImage, said: Said, copied: Copied) -> None:
        newest: dict[str, Predicted] = {}
        for row in said.predictions:
            theirs = str(row.get("model_version") or self._job.model_version)
            name = theirs
            if OWN_NAME.fullmatch(theirs):
                name = self._renamed[theirs] = f"{theirs}-elsewhere"
            what = f"What {theirs!r} predicted of {image.file_name!r}"
            fitted = self._fitting.fit(row["result"], image.number, what)
            copied.notes += fitted.notes
            if fitted.is_lost:
                message = f"{what} lost all its regions and is left out."
                copied.notes.append(LeftOut(image.number, LOST, message))
                continue
            newest[name] = Predicted(fitted.result, score_of_prediction(row), name)
        copied.predictions = list(newest.values())


def _is_same(here: Annotation, theirs: Annotation, fitted: Any) -> bool:
    return here.was_cancelled == theirs.was_cancelled and is_same_label(fitted.result, here.result)


def _is_upload(value: object) -> bool:
    return isinstance(value, str) and _UPLOAD.match(value) is not None
