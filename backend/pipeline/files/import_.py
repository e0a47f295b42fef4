"""Imports images with their annotations into a project by Label Studio's API."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from backend.label_studio import TaskHead
from backend.pipeline.basis.context import AppContext
from backend.pipeline.files.attach import Match, ProjectIndex, TaskChoice
from backend.pipeline.files.copying import Copying, is_elsewhere
from backend.pipeline.files.deeds import ADDED, EDITED, MADE, REPLACED, UNCHANGED
from backend.pipeline.files.elsewhere import Elsewhere, Foreign, check_version_name
from backend.pipeline.files.ready import Ready, batches
from converters.bookkeeping.files_report import FilesReport, Outcome, make_report
from converters.bookkeeping.work_index import WorkIndex
from converters.imports.run import ImportJob, looked_through
from converters.imports.scores import no_score
from converters.imports.source import ImportedImage
from converters.imports.tasks import left_out_image, left_out_repeat, size_of
from converters.label_studio.predicted import as_predicted
from converters.label_studio.same_label import is_same_label
from converters.label_studio.write import validate_prediction
from domain.annotation import LeftOut
from domain.errors import ImageError, TaskError
from domain.hashing import content_hash

_WRITTEN = ("annotation", "digest", "written")

_UPLOADED = "uploaded"
_UPLOADING = "uploading"


def import_to_project(
    context: AppContext,
    project_id: int,
    job: ImportJob,
    choice: TaskChoice | None = None,
    *,
    on_image: Callable[[], None] = lambda: None,
) -> FilesReport:
    """Stores regions as annotations or predictions of the tasks that have the images.

    Images that no task has are uploaded. A task with an annotation is left alone unless
    ``choice.again``; then another one is added beside it. A second run skips what is there and
    unchanged; changed regions replace those of the first run. What was imported is kept in the data
    folder (``imports/PROJECT/``), with the report beside it. Nothing in Label Studio is deleted but
    predictions that are replaced.

    Args:
        context: The process's context.
        project_id: Where to.
        job: What to import; ``job.config`` is the project's labelling configuration.
        choice: Which tasks may be written to; None: those without an annotation, and new ones.
        on_image: Called after each image.

    Raises:
        FileFormatError: The source is not of the job's format.
        SettingsError: It uses a class that is no label of the project; nothing was written.
        LabelStudioError: Label Studio refused or did not answer; a new run goes on from there.
    """
    job = looked_through(job)
    if job.as_ == "predictions" and not job.is_of_label_studio:
        check_version_name(context, project_id, job.model_version)
    folder = context.settings.data_dir / "imports" / str(project_id)
    name = hashlib.sha256(f"{job.path.resolve()} {job.as_} {job.model_version}".encode())
    stem = f"{job.path.stem[:40]}-{name.hexdigest()[:8]}"
    with WorkIndex(folder / f"{stem}.sqlite", folder, f"import {job.format_.name}") as index:
        run = _Run(context, project_id, job, choice or TaskChoice(), index)
        for batch in batches(run.convert(on_image)):
            run.store(batch)
        index.forget_unseen_left_out()
        report = folder / f"{stem}.report.json"
        remarks = job.found.classes.remarks if job.found is not None else ()
        remarks += run.settle()
        unchanged = run.deeds[UNCHANGED] + run.deeds[EDITED]
        deeds = {kind: n for kind, n in run.deeds.items() if n}
        outcome = Outcome(unchanged, remarks=remarks, deeds=deeds, n_kept=run.n_kept)
        return make_report(report, job.format_.name, index, outcome)


class _Run:
    """One import under way."""

    def __init__(
        self,
        context: AppContext,
        project_id: int,
        job: ImportJob,
        choice: TaskChoice,
        index: WorkIndex,
    ) -> None:
        self._client, self._project_id = context.label_studio, project_id
        self._job, self._index, self._choice = job, index, choice
        self._tasks = ProjectIndex(context.label_studio, project_id, job.config.image_key)
        self._taken: dict[int, str] = {}
        self._elsewhere = Elsewhere(context, project_id, job.config)
        self._copying = Copying(context.label_studio, job, again=choice.again)
        is_predicting = job.as_ == "predictions" and not job.is_of_label_studio
        self._held = (
            self._elsewhere.held(job.model_version, self._tasks.heads) if is_predicting else None
        )
        self.deeds = dict.fromkeys((MADE, ADDED, REPLACED, UNCHANGED, EDITED), 0)
        self.n_kept = 0
        self.n_named: Counter[str] = Counter()

    def convert(self, on_image: Callable[[], None]) -> Iterator[Ready]:
        """The images of the source that can be used and are not stored yet."""
        for number, entry in enumerate(self._job.entries(), start=1):
            if isinstance(entry, LeftOut):
                self._index.left_out(f"row {number}", entry)
            elif self._index.is_seen(entry.key):
                self._index.left_out(f"row {number}", left_out_repeat(entry))
            else:
                try:
                    ready = self._ready(entry)
                except TaskError as error:
                    self._leave_out(entry.key, left_out_image(error))
                else:
                    if ready is not None:
                        yield ready
            on_image()

    def _ready(self, image: ImportedImage) -> Ready | None:
        """None for what is stored already, unchanged."""
        path = self._job.find(image)
        stamp = self._job.stamp_of(image, path)
        known = self._known_task(image.key)
        if known is not None and self._choice.new:
            record = self._index.record(image.key) or {}
            if "state" not in record and record.get(MADE, True):
                self._refuse(image, known)
                return None
            known = known if "state" in record else None
        # A prediction that a newer import retired is brought again.
        is_held = self._held is None or known in self._held
        if known is not None and is_held and self._index.is_current(image.key, stamp):
            self._take(image, known)
            self.deeds[UNCHANGED] += 1
            return None
        match = Match(known) if known is not None else self._match(image, path)
        if image.said is not None:
            return self._ready_copy(image, path, match, stamp)
        if path is None and (match is None or match.size_hw is None):
            if match is None:
                why = "--new needs its file" if self._choice.new else "no task has it"
                raise ImageError(
                    image.number,
                    "image_missing",
                    f"the image {image.file_name!r} was not found, and {why}.",
                    remedy="Give the folder of images with --images (and --image-prefix).",
                )
            match = Match(match.task_id, self._tasks.size_hw(image, match.task_id))
        size_hw = size_of(image, path, match.size_hw if match is not None else None)
        if match is not None:
            self._take(image, match.task_id)
        result, notes = self._job.said_of(image, size_hw)
        if self._job.as_ == "predictions":
            result = as_predicted(result)
            for fault in validate_prediction(self._job.config, result):
                raise ImageError(image.number, "invalid_result", f"Label Studio objects: {fault}")
        task_id = match.task_id if match is not None else None
        if self._job.lacks_score(image, path):
            notes = [*notes, no_score(image, self._job.scores)]
        score = self._job.score_of(image, path)
        return Ready(image, path, task_id, stamp, result, notes, score)

    def _ready_copy(
        self, image: ImportedImage, path: Path | None, match: Match | None, stamp: str
    ) -> Ready:
        """A task of another Label Studio: nothing of it is drawn anew, so its size is not asked."""
        if path is None and match is None and not is_elsewhere(image):
            raise ImageError(
                image.number,
                "image_missing",
                f"the image {image.file_name!r} was not found, and no task has it.",
                remedy="It lies on the other server: give the folder of images with --images.",
            )
        if match is not None:
            self._take(image, match.task_id)
        task_id = match.task_id if match is not None else None
        return Ready(image, path, task_id, stamp, [], list(image.notes))

    def _refuse(self, image: ImportedImage, task_id: int) -> None:
        """Leaves an image alone whose task this import has made before."""
        self._take(image, task_id)
        message = (
            f"{image.file_name!r} is in task {task_id}, which an earlier import of this source "
            "made; --new makes no second one. Without --new what changed is changed there; to have "
            "it made anew, delete the task."
        )
        self._leave_out(image.key, LeftOut(image.number, "imported_before", message))

    def _known_task(self, key: str) -> int | None:
        """The task an earlier run stored the image in, while it is that very task."""
        record = self._index.record(key) or {}
        head = self._tasks.heads.get(int(record.get("task", 0)))
        if head is None:
            return None
        is_same = record.get("created_at", head.created_at) == head.created_at
        return head.id if is_same and record.get("image", "") in ("", self._uri(head)) else None

    def _match(self, image: ImportedImage, path: Path | None) -> Match | None:
        if self._choice.new:
            return self._lost_upload(image, path) if path is not None else None
        repeated = self._job.found.repeated if self._job.found is not None else frozenset[str]()
        return self._tasks.find(image, path, self._job.images.names(image), repeated)

    def _lost_upload(self, image: ImportedImage, path: Path) -> Match | None:
        """The task of an image that a killed run uploaded, but did not get to keep."""
        if (self._index.record(image.key) or {}).get("state") != _UPLOADING:
            return None
        kept = {int(record.get("task", 0)) for record in self._index.records()}
        made = self._client.uploaded_tasks(self._project_id, [path.name]).get(path.name, [])
        free = [i for i in made if i not in kept and i not in self._taken]
        return Match(free[0]) if free else None

    def _take(self, image: ImportedImage, task_id: int) -> None:
        other = self._taken.setdefault(task_id, image.key)
        if other != image.key:
            raise ImageError(
                image.number,
                "ambiguous_task",
                f"{image.file_name!r} and {other!r} of the source are both the image of task "
                f"{task_id}.",
                remedy="Keep one of them in the source.",
            )

    def store(self, batch: list[Ready]) -> None:
        """Brings Label Studio to what a batch says."""
        task_ids = {item.key: item.task_id for item in batch if item.task_id is not None}
        files = []
        new = [item for item in batch if item.key not in task_ids]
        for item in new:
            self._keep(item, {"state": _UPLOADING, MADE: True})
            if item.path is not None:
                files.append((item.path.name, item.path.read_bytes()))
        made = iter(self._client.import_images(self._project_id, files))
        by_address = [item for item in new if item.path is None]
        fields = [self._copying.fields(item.image, "") for item in by_address]
        named = iter(self._client.import_tasks(self._project_id, fields))
        for item in new:
            task_id = next(made if item.path is not None else named)
            task_ids[item.key] = task_id
            self._keep(item, {"state": _UPLOADED, "task": task_id, MADE: True})
        if self._job.is_of_label_studio:
            self._copy(batch, task_ids)
        elif self._job.as_ == "predictions":
            self._predict(batch, task_ids)
        else:
            for item in batch:
                self._annotate(item, task_ids[item.key])

    def _annotate(self, item: Ready, task_id: int) -> None:
        digest = _digest(item.result)
        record = self._index.record(item.key) or {}
        annotations = self._client.unopened_task(self._project_id, task_id).annotations
        held = {a.id: a.result for a in annotations}
        same = [
            a.id
            for a in annotations
            if not a.was_cancelled and is_same_label(item.result, a.result)
        ]
        annotation_id = record.get("annotation")
        deed = self._deed(record)
        if same:
            # A killed run had got as far as this, but not as far as keeping it.
            annotation_id = same[0]
            deed = UNCHANGED if deed != MADE else MADE
        elif annotation_id in held:
            # Saved in the editor it is written otherwise, and nobody has changed it.
            written = record.get("written")
            if _digest(held[annotation_id]) == record.get("digest") or (
                written is not None and is_same_label(written, held[annotation_id])
            ):
                self._client.update_annotation(annotation_id, item.result)
                deed = REPLACED
            else:
                deed = EDITED
                message = (
                    f"The annotation of {item.image.file_name!r} was edited in Label Studio since "
                    "it was imported; it stays as it is."
                )
                item.notes.append(LeftOut(item.image.number, "edited", message))
                self._done(item, task_id, deed, {k: record[k] for k in _WRITTEN if k in record})
                return
        elif held and not self._choice.again:
            message = (
                f"Task {task_id}, which has the image {item.image.file_name!r}, has an annotation "
                "already; it stays as it is. --again puts another one beside it."
            )
            self._leave_out(item.key, LeftOut(item.image.number, "labelled", message))
            return
        else:
            annotation_id = self._client.annotate(task_id, item.result)
        about = {"annotation": annotation_id, "digest": digest, "written": item.result}
        self._done(item, task_id, deed, about)

    @staticmethod
    def _deed(record: dict[str, Any]) -> str:
        """What a first annotation or prediction of an image is, by its record so far."""
        return MADE if "state" in record and record.get(MADE) else ADDED

    def _predict(self, items: list[Ready], task_ids: dict[str, int]) -> None:
        version = self._job.model_version
        rows = [Foreign(self._head(task_ids[i.key]), i.result, i.score, version) for i in items]
        replaced, dropped = self._elsewhere.store(rows)
        for position, item in enumerate(items):
            if position in dropped:
                message = f"Label Studio did not keep the prediction of {item.image.file_name!r}."
                note = LeftOut(item.image.number, "prediction_dropped", message)
                self._leave_out(item.key, note)
                continue
            record = self._index.record(item.key) or {}
            deed = REPLACED if position in replaced else self._deed(record)
            self._done(item, task_ids[item.key], deed, {})

    def _copy(self, items: list[Ready], task_ids: dict[str, int]) -> None:
        """What another Label Studio holds of some tasks, predictions after annotations."""
        done = []
        predicted: list[Foreign] = []
        for item in items:
            task_id = task_ids[item.key]
            # What is known of a task that is gone says nothing of the one that has the image now.
            is_known = self._known_task(item.key) == task_id
            record = self._index.record(item.key) or {}
            record = record if is_known or "state" in record else {MADE: record.get(MADE)}
            task = self._client.unopened_task(self._project_id, task_id)
            head = TaskHead(task_id, task.data, task.created_at)
            head = self._tasks.heads.setdefault(task_id, head)
            copied = self._copying.copy(item.image, head, task.annotations, record)
            item.notes.extend(copied.notes)
            if copied.refused is not None:
                self._leave_out(item.key, copied.refused)
                continue
            rows = [Foreign(self._head(task_id), *row) for row in copied.predictions]
            predicted += rows
            done.append((item, task_id, copied, record))
        self.n_named.update(row.model_version for row in predicted)
        _, dropped = self._elsewhere.store(predicted) if predicted else ((), set())
        lost = {(predicted[i].head.id, predicted[i].model_version) for i in dropped}
        for item, task_id, copied, record in done:
            for name in sorted(name for of, name in lost if of == task_id):
                message = f"Label Studio did not keep what {name!r} predicted of it."
                item.notes.append(LeftOut(item.image.number, "prediction_dropped", message))
            deed = self._deed(record) if "annotations" not in record else copied.deed
            self._done(item, task_id, deed, copied.record)

    def settle(self) -> tuple[str, ...]:
        """Shows the imported predictions; what a person should know of that, in sentences."""
        said = self._copying.remarks()
        if self._job.is_of_label_studio:
            # What most tasks have is what the other server showed.
            names = [name for name, _ in reversed(self.n_named.most_common())]
        else:
            names = [self._job.model_version] if self._held is not None else []
        return said + (self._elsewhere.settle(names, self._tasks.heads) if names else ())

    def _head(self, task_id: int) -> TaskHead:
        head = self._tasks.heads.get(task_id)
        if head is None:
            task = self._client.unopened_task(self._project_id, task_id)
            head = self._tasks.heads[task_id] = TaskHead(task_id, task.data, task.created_at)
        return head

    def _done(self, item: Ready, task_id: int, deed: str, record: dict[str, Any]) -> None:
        self.deeds[deed] += 1
        before = self._index.record(item.key) or {}
        # Ids of deleted tasks are given to new ones: the record says which task it was.
        head = self._head(task_id)
        about: dict[str, Any] = {"task": task_id, "image": self._uri(head)}
        about |= {"created_at": head.created_at}
        if MADE in before or "task" not in before:  # else it is of the time before this was kept
            about[MADE] = bool(before.get(MADE))
        self._index.done(item.key, item.stamp, (), about | record, item.notes)

    def _uri(self, head: TaskHead) -> str:
        return str(head.data.get(self._job.config.image_key) or "")

    def _keep(self, item: Ready, record: dict[str, Any]) -> None:
        """Keeps how far an image has got; no stamp, so that the next run goes on with it."""
        self._index.done(item.key, "", (), record, ())

    def _leave_out(self, key: str, note: LeftOut) -> None:
        """Notes why an image is not imported now; what an earlier run did of it stays known."""
        if self._index.record(key) is None:
            self._index.left_out(key, note)
        else:
            self._index.keep(key, note)
            self.n_kept += 1


def _digest(result: list[dict[str, Any]]) -> str:
    return content_hash([[entry.get("id"), entry.get("value")] for entry in result])
