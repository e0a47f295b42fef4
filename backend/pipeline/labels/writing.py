"""Writes renames of labels into Label Studio's annotations: the names in them, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.pipeline.basis.annotations import label_config_of, label_names_of
from backend.pipeline.basis.context import AppContext
from backend.store import projects
from backend.store.quality import doubts
from backend.store.tasks import snapshots
from backend.store.training import runs
from converters.label_studio.relabel import label_names, relabelled
from converters.painting.combining import choose
from converters.painting.policies import AnnotatorPolicy
from domain.annotation import AnnotatedTask, Annotation, Task
from domain.hashing import content_hash
from domain.labels import LabelGroup, LabelNames


@dataclass(slots=True)
class WriteReport:
    """What was changed, or would be.

    Attributes:
        names: {old name: annotations in which it is another one now}.
        annotations: How many were changed.
        touched: Newer ones of the same tasks that were saved again as they are, so that the newest
            stays the newest.
        tasks: The tasks of all of them.
        skipped: Sentences about those that were left as they are.
        is_dry: Nothing was changed.
    """

    is_dry: bool
    names: dict[str, int] = field(default_factory=dict)
    annotations: int = 0
    touched: int = 0
    tasks: set[int] = field(default_factory=set)
    skipped: list[str] = field(default_factory=list)


def write_labels(
    context: AppContext,
    project_id: int,
    *,
    is_dry: bool,
    on_task: Callable[[], None] = lambda: None,
) -> WriteReport:
    """Changes the annotations in Label Studio that use a mapped name.

    Only label names change: no geometry, no other entry. Skips are left as they are. Label Studio
    dates what is saved; newer annotations of a task are saved after the changed ones, unchanged, so
    that the order in which they count stays. Each task is read again right before; one that has
    changed since is left for the next time. Names that count as background are not written.

    Args:
        context: The process's context.
        project_id: A connected project.
        is_dry: Only count.
        on_task: Called after each task.

    Raises:
        LabelConfigError: The interface can't be used.
        LabelStudioError: Label Studio refused or did not answer; what was written stays, and a
            second call goes on.
        NotConnectedError: nnloop does not know the project.
    """
    with context.store.read() as session:
        project = projects.get(session, project_id)
        group = label_config_of(project, project.settings).group
        names = label_names_of(project)
    report = WriteReport(is_dry)
    client = context.label_studio
    for task in client.iter_tasks(project_id):
        plan = _plan(task, group, names)
        if plan:
            if not is_dry:
                now = client.unopened_task(project_id, task.id)
                if _state(now) != _state(task):
                    report.skipped.append(
                        f"Task {task.id} was changed at this moment; it is as it was."
                    )
                    continue
                _write(context, task, plan)
            _count(report, task, plan, group)
        on_task()
    return report


@dataclass(frozen=True, slots=True)
class _Save:
    """An annotation to save, with its new regions; ``is_changed`` is False for a mere order."""

    annotation: Annotation
    result: list[Any]
    is_changed: bool


def _plan(task: Task, group: LabelGroup, names: LabelNames) -> list[_Save]:
    """What to save of a task, oldest first: from the first one that changes to the newest."""

    def rename(name: str) -> str:
        now = names.now(name)
        return now if now in names.present else name

    saves: list[_Save] = []
    submitted = (a for a in task.annotations if not a.was_cancelled)
    for annotation in sorted(submitted, key=lambda a: (a.updated_at, a.id)):
        result, _ = relabelled(annotation.result, group, rename)
        is_changed = result != annotation.result
        if is_changed or saves:
            saves.append(_Save(annotation, result, is_changed))
    return saves


def _write(context: AppContext, task: Task, plan: Sequence[_Save]) -> None:
    with context.store.begin() as session:
        doubts.note_saved(session, task.project_id, task.id)
    for save in plan:
        context.label_studio.update_annotation(save.annotation.id, save.result)
    with context.store.begin() as session:
        projects.lock(session, task.project_id)
        # Again, for it may have been read between two of them.
        doubts.note_saved(session, task.project_id, task.id)
        policy = projects.get(session, task.project_id).settings.annotator_policy
        run = runs.last_run(session, task.project_id)
        known = snapshots.known_hashes(session, task)
        written = {
            save.annotation.id: content_hash(save.result) for save in plan if save.is_changed
        }
        read = run.candidates.get(task.id) if run is not None else None
        if run is None or read is None or read != _candidate(task, policy, known, read.source):
            return
        # It has read these regions under the new names: to the next run they are no news.
        new = _candidate(task, policy, known | written, read.source)
        run.candidates = {**run.candidates, task.id: new}


@dataclass(frozen=True, slots=True)
class _Hashed:
    id: int
    content_hash: str


def _candidate(
    task: Task, policy: AnnotatorPolicy, hashes: Mapping[int, str], source: str
) -> AnnotatedTask:
    """What a run keeps of a task's annotations, by their content hashes."""
    chosen = choose((a for a in task.annotations if not a.was_cancelled), policy)
    rows = [_Hashed(a.id, hashes[a.id]) for a in chosen]
    return snapshots.annotated(rows, source)


def _count(report: WriteReport, task: Task, plan: Iterable[_Save], group: LabelGroup) -> None:
    report.tasks.add(task.id)
    for save in plan:
        if not save.is_changed:
            report.touched += 1
            continue
        report.annotations += 1
        before = label_names(save.annotation.result, group)
        for name in sorted(before - label_names(save.result, group)):
            report.names[name] = report.names.get(name, 0) + 1


def _state(task: Task) -> list[tuple[int, str, bool, str]]:
    return [(a.id, a.updated_at, a.was_cancelled, content_hash(a.result)) for a in task.annotations]
