"""What `connect` looks at before and after: settings that Label Studio's project must have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from sqlalchemy import select

from backend.label_studio import LabelStudioClient
from backend.label_studio.task_pages import PAGE_SIZE
from backend.pipeline.basis.context import AppContext
from backend.pipeline.queues.annotators import names_of_nobody
from backend.settings import ProjectSettings
from backend.store.models import TaskRow
from backend.store.tasks.snapshots import state_of
from converters.images.groups import GroupKey
from converters.images.of_tasks import image_name
from domain.annotation import Annotation, Task
from domain.errors import LabelStudioError, SettingsError
from domain.labels import LabelConfig
from domain.states import TaskState
from domain.text import closest_first

NAMED = 20
"""Of people, fields and tasks so many are named in a sentence."""


def check_channels(
    client: LabelStudioClient, project_id: int, settings: ProjectSettings, config: LabelConfig
) -> None:
    """A field that the interface does not show must be in the tasks: a typo would leave out all.

    Raises:
        SettingsError: The first task lacks one.
    """
    if not settings.channels:
        return
    task = next(iter(client.iter_tasks(project_id)), None)
    missing = [key for key in config.image_keys if task is not None and key not in task.data]
    if task is not None and missing:
        raise SettingsError(
            f"channels names {missing[0]!r}, which task {task.id} does not have.",
            remedy=f"Its fields are {', '.join(task.data)}.",
        )


def check_priority(settings: ProjectSettings, config: LabelConfig) -> None:
    """Raises SettingsError where a label that lies on top is none of the interface's."""
    unknown = [n for n in settings.label_priority if config.group.class_by_value(n) is None]
    if unknown:
        raise SettingsError(
            f"label_priority names {unknown[0]!r}, which the labelling interface lacks.",
            remedy=f"Its labels are {', '.join(config.class_values)}.",
        )


def check_annotators(client: LabelStudioClient, named: Sequence[str]) -> None:
    """People who are to have queues must be there: otherwise nobody's tab would be left.

    Where Label Studio lists nobody, all names are taken.

    Args:
        client: Of the project's Label Studio.
        named: What a person gave; empty: who labels.

    Raises:
        SettingsError: Nobody, or not one alone, is called so.
    """
    if not named:
        return
    try:
        users = client.list_users()
    except LabelStudioError:
        return
    unknown = names_of_nobody(named, users)
    if unknown:
        known = closest_first(unknown[0], (user.email for user in users))
        more = f" ... (+{len(known) - NAMED})" if len(known) > NAMED else ""
        raise SettingsError(
            f"annotators names {unknown[0]!r}: nobody in Label Studio, or not one alone, is called "
            "so.",
            remedy=f"There are {', '.join(known[:NAMED])}{more}. Who is missing has to sign up in "
            "Label Studio first.",
        )


def group_warnings(
    context: AppContext, project_id: int, settings: ProjectSettings, config: LabelConfig
) -> Iterator[str]:
    """Says where tasks have no group by the setting ``group_key``, with numbers and the remedy.

    Asks the store; of a project that was never read, the first page of Label Studio's tasks.
    """
    if settings.group_key is None:
        return
    key, image_key = GroupKey.parse(settings.group_key), config.image_key
    tasks, n_more = _known_tasks(context, project_id)
    without = [task for task in tasks if key.group_of(task, image_key) is None]
    if not without:
        return
    by = f"by group_key '{settings.group_key}'"
    remedy = (
        f"{_seen(key, without, image_key)} Correct it: nnloop connect {project_id} --group-key "
        f"KEY, or --reset group_key where there are no groups."
    )
    which = "first tasks" if n_more else "tasks"
    if len(without) == len(tasks):
        yield f"None of the {len(tasks)} {which} has a group {by}: training will fail. {remedy}"
        return
    labelled = {task.id for task in tasks if state_of(task.annotations) == TaskState.LABELLED}
    fails = ""
    if labelled and labelled <= {task.id for task in without}:
        fails = ", among them all that are labelled: training will fail"
    named = ", ".join(str(task.id) for task in without[:NAMED])
    more = f" ... (+{len(without) - NAMED})" if len(without) > NAMED else ""
    yield (
        f"{len(without)} of {len(tasks)} {which} {'has' if len(without) == 1 else 'have'} no group "
        f"{by} ({named}{more}){fails}. Folds take tasks without a group one by one. {remedy}"
    )


def _known_tasks(context: AppContext, project_id: int) -> tuple[list[Task], bool]:
    """The tasks that are there, without their regions; and whether there may be more."""
    with context.store.read() as session:
        query = select(TaskRow.id, TaskRow.data, TaskRow.state).where(
            TaskRow.project_id == project_id, TaskRow.removed_at.is_(None)
        )
        rows = session.execute(query.order_by(TaskRow.id)).all()
    if rows:
        submitted = {TaskState.LABELLED: (Annotation(0, 0, []),)}
        return [
            Task(row.id, project_id, row.data, submitted.get(TaskState(row.state), ()))
            for row in rows
        ], False
    try:
        tasks = list(islice(context.label_studio.iter_tasks(project_id), PAGE_SIZE))
    except LabelStudioError:
        return [], False  # everything is set up, and the first training tells it too
    return tasks, len(tasks) == PAGE_SIZE


def _seen(key: GroupKey, tasks: Sequence[Task], image_key: str) -> str:
    """What there is that a group could be read from."""
    if key.pattern is not None:
        return f"A file is called '{image_name(tasks[0], image_key)}'."
    fields = closest_first(key.field, dict.fromkeys(name for task in tasks for name in task.data))
    return f"Their fields are {', '.join(fields[:NAMED])}."
