"""What went wrong with one task, as a problem of that task; what is wrong with all is raised."""

from __future__ import annotations

import errno
import logging
from dataclasses import replace

from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError, StatementError

from domain.annotation import LeftOut
from domain.errors import (
    DiskFullError,
    LabelConfigError,
    LabelStudioError,
    NnloopError,
    SettingsError,
    StackError,
    TaskError,
)
from domain.text import one_line

logger = logging.getLogger(__name__)

_WHOLE = (LabelStudioError, StackError, SettingsError, LabelConfigError, DiskFullError)

# The disk is full, read-only or broken, or the process has no file descriptor left.
_WHOLE_ERRNO = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE}
)


def is_of_the_whole(error: BaseException) -> bool:
    """Whether every task would fail like this: the store, Label Studio, the disk, the device."""
    if isinstance(error, _WHOLE) or not isinstance(error, Exception):
        return True
    if isinstance(error, SQLAlchemyError):
        # A value that no column takes is the fault of who made it; anything else is the store's.
        is_value = type(error) in (StatementError, DataError, IntegrityError)
        return not is_value
    if isinstance(error, OSError):
        return error.errno in _WHOLE_ERRNO
    # After such an error a process can't use its GPU any more; without memory for one image it can.
    return "CUDA error" in str(error) and "out of memory" not in str(error)


def fault_of(task_id: int, error: Exception) -> LeftOut:
    """The problem of a task, in words.

    Raises:
        Exception: The error itself, when it is none of this task.
    """
    if is_of_the_whole(error):
        raise error
    if isinstance(error, TaskError):
        return LeftOut(task_id, error.reason, one_line(error, 600), remedy=error.remedy)
    if isinstance(error, NnloopError):
        return LeftOut(task_id, "task", f"Task {task_id}: {one_line(error)}", remedy=error.remedy)
    if isinstance(error, MemoryError) or "out of memory" in str(error):
        return LeftOut(
            task_id,
            "out_of_memory",
            f"Task {task_id}: its image does not fit into memory ({type(error).__name__}).",
            remedy="Scale it down or cut it into tiles.",
        )
    logger.error("Task %d failed.", task_id, exc_info=error)
    what = one_line(error)
    return LeftOut(
        task_id,
        "unexpected",
        f"Task {task_id}: unexpected {type(error).__name__}{f': {what}' if what else ''}.",
        remedy="nnloop's log has the details. See whether its image or annotation is unusual.",
    )


def entry_of(task_id: int, error: Exception) -> LeftOut:
    """``fault_of`` with the remedy in its message, for reports that have one text for both.

    Raises:
        Exception: As ``fault_of``.
    """
    fault = fault_of(task_id, error)
    return replace(fault, message=fault.in_full)


def sentence_of(error: Exception) -> str:
    """An error and its remedy in one line."""
    message, remedy = message_of(error)
    return f"{message} {remedy}".strip()


def message_of(error: Exception) -> tuple[str, str]:
    """(message, remedy) of an error, each one line."""
    if isinstance(error, NnloopError):
        return one_line(error, 800), one_line(error.remedy)
    what = one_line(error)
    return f"Unexpected {type(error).__name__}: {what}; the log has the details.", ""
