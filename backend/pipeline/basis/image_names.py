"""What the images of tasks are called: ids of tasks say little to a reader."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.pipeline.basis.annotations import label_config_of
from backend.store.identity import CHUNK
from backend.store.models import ProjectRow, TaskRow
from converters.images.of_tasks import image_name
from domain.annotation import Task
from domain.errors import LabelConfigError


def image_names(session: Session, project: ProjectRow, task_ids: Iterable[int]) -> dict[int, str]:
    """Task id -> the file name of its image; without those that have none.

    Args:
        session: A session of the store.
        project: Whose tasks they are; where its interface can't be read nobody knows.
        task_ids: Which.
    """
    try:
        key = label_config_of(project, project.settings).image_key
    except LabelConfigError:
        return {}
    wanted = sorted(set(task_ids))
    found: dict[int, str] = {}
    for start in range(0, len(wanted), CHUNK):
        is_one = TaskRow.id.in_(wanted[start : start + CHUNK])
        for task_id, data in session.execute(select(TaskRow.id, TaskRow.data).where(is_one)):
            if name := image_name(Task(task_id, project.id, data), key):
                found[task_id] = name
    return found
