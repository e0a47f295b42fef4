"""What the images of tasks look like, as vectors: made once for each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    LargeBinary,
    Select,
    String,
    and_,
    cast,
    delete,
    func,
    or_,
    select,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.store import clock
from backend.store.models import Base, TaskRow
from backend.store.vectors import pack, unpack
from domain.states import TaskState
from training.pretrained import EMBEDDING

RETRY_S = 6 * 3600.0
"""An image that could not be read is tried again after this: an embedding is a help, no need."""

# Fibonacci hashing: ids times the golden section of a range, modulo it, lie evenly all over it,
# consecutive ones far apart.
_FACTOR, _RANGE = 1_327_217_885, 2**31


class EmbeddingRow(Base):
    """The embedding of a task's image; about 1 kB.

    ``source`` and ``image_hash`` are those of the task when it was made, ``kind`` says by what:
    once they differ from today's, it is dead. ``vector`` is as ``backend.store.vectors`` packs it;
    empty where the image can't be read, which is tried again at ``not_before``.
    """

    __tablename__ = "embedding"

    project_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    source: Mapped[str] = mapped_column(String(64), default="")
    image_hash: Mapped[str] = mapped_column(String(64), default="")
    kind: Mapped[str] = mapped_column(String(32))
    vector: Mapped[bytes] = mapped_column(LargeBinary, default=b"")
    not_before: Mapped[float] = mapped_column(default=0.0)


def _is_live() -> ColumnElement[bool]:
    """Whether an embedding is of its task (joined) as it is now."""
    return and_(
        EmbeddingRow.kind == EMBEDDING,
        EmbeddingRow.source == TaskRow.source,
        or_(
            EmbeddingRow.image_hash == "",
            TaskRow.image_hash == "",
            EmbeddingRow.image_hash == TaskRow.image_hash,
        ),
    )


def _there(project_id: int, is_wanted: ColumnElement[bool]) -> ColumnElement[bool]:
    """Joins embeddings that hold a vector and live with their tasks, of those that are wanted."""
    return and_(
        TaskRow.id == EmbeddingRow.task_id,
        TaskRow.project_id == project_id,
        EmbeddingRow.project_id == project_id,
        EmbeddingRow.vector != b"",
        TaskRow.removed_at.is_(None),
        is_wanted,
        _is_live(),
    )


def _missing(project_id: int) -> Select[Any]:
    is_theirs = and_(
        EmbeddingRow.project_id == TaskRow.project_id,
        EmbeddingRow.task_id == TaskRow.id,
        _is_live(),
    )
    is_due = and_(EmbeddingRow.vector == b"", clock.has_come(EmbeddingRow.not_before, RETRY_S))
    return (
        select(TaskRow)
        .outerjoin(EmbeddingRow, is_theirs)
        .where(
            TaskRow.project_id == project_id,
            TaskRow.removed_at.is_(None),
            TaskRow.state != TaskState.SKIPPED,
            or_(EmbeddingRow.task_id.is_(None), is_due),
        )
    )


def count(session: Session, project_id: int) -> int:
    """Unlabelled tasks that have an embedding."""
    of_them = _there(project_id, TaskRow.state == TaskState.UNLABELLED)
    query = select(func.count()).select_from(EmbeddingRow).join(TaskRow, of_them)
    return session.scalar(query) or 0


def is_missing_some(session: Session, project_id: int) -> bool:
    """Whether a task of a project has no embedding, or a failed one is due again."""
    return session.scalar(_missing(project_id).limit(1)) is not None


def missing(session: Session, project_id: int, limit: int) -> list[TaskRow]:
    """Tasks without embedding, those with labels first, the others evenly from all the pool.

    So what is there before all is done stands for the whole of it.
    """
    scrambled = cast(TaskRow.id, BigInteger) * _FACTOR % _RANGE
    order = (TaskRow.state != TaskState.LABELLED, scrambled, TaskRow.id)
    return list(session.scalars(_missing(project_id).order_by(*order).limit(limit)))


def save(
    session: Session, task: TaskRow, image_hash: str, vector: npt.NDArray[np.float32] | None
) -> None:
    """Stores an embedding, or that there is none for now.

    Args:
        session: Of the store.
        task: As it was when its image was fetched; nothing is stored if it is another one by now.
        image_hash: Of the image; "" where nobody can tell.
        vector: (d,), or None: the image can't be read.
    """
    now = session.get(TaskRow, task.id)
    if now is None or (now.project_id, now.source) != (task.project_id, task.source):
        return
    session.merge(
        EmbeddingRow(
            project_id=task.project_id,
            task_id=task.id,
            source=task.source,
            image_hash=image_hash,
            kind=EMBEDDING,
            vector=pack(vector),
            not_before=clock.now() + RETRY_S if vector is None else 0.0,
        )
    )


def of_tasks(
    session: Session, project_id: int, task_ids: Sequence[int]
) -> npt.NDArray[np.float32] | None:
    """Embeddings of tasks in their order.

    Returns:
        (n, d); a row of NaN for a task without one. None where none has one.
    """
    found = _read(session, project_id, TaskRow.state == TaskState.UNLABELLED)
    if not any(task_id in found for task_id in task_ids):
        return None
    unknown = np.full(len(next(iter(found.values()))), np.nan, np.float32)
    return np.stack([found.get(task_id, unknown) for task_id in task_ids])


def of_task(session: Session, project_id: int, task_id: int) -> npt.NDArray[np.float32] | None:
    """(d,) the embedding of a task, whatever its state; None without one."""
    return _read(session, project_id, TaskRow.id == task_id).get(task_id)


def of_labelled(session: Session, project_id: int) -> npt.NDArray[np.float32] | None:
    """(m, d) embeddings of the tasks that have labels; None where none has one."""
    found = _read(session, project_id, TaskRow.state == TaskState.LABELLED)
    return np.stack(list(found.values())) if found else None


def prune(session: Session, project_id: int) -> None:
    """Deletes those of tasks that are gone."""
    there = select(TaskRow.id).where(TaskRow.project_id == project_id, TaskRow.removed_at.is_(None))
    session.execute(
        delete(EmbeddingRow).where(
            EmbeddingRow.project_id == project_id, EmbeddingRow.task_id.not_in(there)
        )
    )


def _read(
    session: Session, project_id: int, is_wanted: ColumnElement[bool]
) -> Mapping[int, npt.NDArray[np.float32]]:
    query = (
        select(EmbeddingRow.task_id, EmbeddingRow.vector)
        .join(TaskRow, _there(project_id, is_wanted))
        .order_by(EmbeddingRow.task_id)
    )
    return {task_id: unpack(vector) for task_id, vector in session.execute(query)}
