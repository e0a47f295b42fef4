"""Log lines: one an event, with what it belongs to, as text or as JSON.

What an event belongs to (project, run, fold, job) is said once, by ``about``, and stands in every
line that is logged inside. Threads that are started meanwhile begin with nothing: give them
``carried``.
"""

from __future__ import annotations

import contextvars
import json
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from types import MappingProxyType, TracebackType
from typing import Any, Literal, ParamSpec

Format = Literal["text", "json"]

FIELDS = ("project", "run", "fold", "job")
"""What an event may belong to: Label Studio's id of a project, the number of a run within its
project, a fold, the id of a job."""

_NOISY = ("httpx", "httpcore", "alembic", "numexpr")
"""Every request would be a line, and some of their addresses carry signatures."""

_NOTHING: Mapping[str, int | str] = MappingProxyType({})
_about: contextvars.ContextVar[Mapping[str, int | str]] = contextvars.ContextVar(
    "log_about", default=_NOTHING
)

_Arguments = ParamSpec("_Arguments")

logger = logging.getLogger(__name__)


@contextmanager
def about(**fields: int | str) -> Iterator[None]:
    """While inside, every line says that it belongs to these, some of ``FIELDS``."""
    token = _about.set({**_about.get(), **fields})
    try:
        yield
    finally:
        _about.reset(token)


def carried(work: Callable[_Arguments, object]) -> Callable[_Arguments, None]:
    """For a thread's target: what it logs belongs to what the caller is about now."""
    context = contextvars.copy_context()

    def run(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> None:
        context.run(work, *args, **kwargs)

    return run


def begin() -> None:
    """Logs warnings of this process to its standard error, as text."""
    handler = logging.StreamHandler()
    handler.setFormatter(TextLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)


def serve_lines(level: str, form: Format) -> None:
    """Logs as a service does: from a level on, in a form, and whatever else would be printed.

    Warnings of libraries, and exceptions that end the process or a thread, are events too.
    """
    logging.getLogger().setLevel(level)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.captureWarnings(True)
    sys.excepthook = _log_end
    threading.excepthook = _log_end_of_thread


class TextLines(logging.Formatter):
    """``2026-11-28T13:26:11.059+00:00 INFO project=1 job=sync-1 backend.x: message``.

    The lines of an exception follow.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line, and those of the exception if there is one."""
        known = _about.get()
        said = "".join(f" {name}={known[name]}" for name in FIELDS if name in known)
        message = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")
        line = f"{_moment(record)} {record.levelname}{said} {record.name}: {message}"
        error = _traceback(record)
        return f"{line}\n{error}" if error else line


class JsonLines(logging.Formatter):
    """One JSON object a line.

    ``time``, ``level``, those of ``FIELDS`` that apply, ``logger``, ``message``, and ``exception``,
    the whole traceback as one text.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        known = _about.get()
        value: dict[str, Any] = {
            "time": _moment(record),
            "level": record.levelname,
            **{name: known[name] for name in FIELDS if name in known},
            "logger": record.name,
            "message": record.getMessage(),
        }
        if error := _traceback(record):
            value["exception"] = error
        return json.dumps(value)


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created).astimezone().isoformat("T", "milliseconds")


def _traceback(record: logging.LogRecord) -> str:
    if record.exc_info and record.exc_info[1] is not None:
        return "".join(traceback.format_exception(record.exc_info[1])).rstrip()
    return (record.exc_text or record.stack_info or "").rstrip()


def _log_end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logger.critical("The process ends.", exc_info=(kind, error, trace))


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is None or issubclass(ended.exc_type, SystemExit):
        return
    name = ended.thread.name if ended.thread is not None else "?"
    logger.error("The thread %r ends.", name, exc_info=ended.exc_value)
