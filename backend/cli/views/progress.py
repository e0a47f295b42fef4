"""How work that takes its time says how far it is: on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from backend.cli.shared import error_console


@contextmanager
def progress(
    description: str, total: int | None, *, on: Console = error_console
) -> Iterator[Callable[[], None]]:
    """Shows a bar; yields what to call after each thing.

    Args:
        description: What is done.
        total: For how many; None: not known.
        on: By default stderr, so that --json stays JSON.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=on, transient=True) as bars:
        task = bars.add_task(escape(description), total=total)
        yield lambda: bars.advance(task)


LINES_S = 5.0
"""Seconds between two lines about the same step, where there is no terminal to draw a bar on."""


@contextmanager
def steps(first: str = "", on: Console = error_console) -> Iterator[Callable[..., None]]:
    """Says which step is done, and how far it is; yields whom to tell: ``tell(what, done, total)``.

    On a terminal one line that goes when all is done. Elsewhere a line for each step, and one every
    few seconds while it lasts: a log shows that something happens.

    Args:
        first: What is done before anything is told; "" = nothing that takes its time.
        on: Where to.
    """
    if not on.is_terminal:
        tell_line = _lines(on)
        if first:
            tell_line(first)
        yield tell_line
        return
    columns = (
        TextColumn("{task.description}{task.fields[count]}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=on, transient=True) as bars:
        task = bars.add_task(first, total=None, count="")

        def tell(what: str, done: int = 0, total: int = 0) -> None:
            count = _count(done, total)
            bars.update(task, description=what, completed=done, total=total or None, count=count)

        yield tell


def _count(done: int, total: int) -> str:
    return f" {done}/{total}" if total else ""


def _lines(on: Console) -> Callable[..., None]:
    said, at = "", 0.0

    def tell(what: str, done: int = 0, total: int = 0) -> None:
        nonlocal said, at
        now = time.monotonic()
        if what != said or now - at > LINES_S:
            on.print(f"{what}{_count(done, total)}", markup=False, highlight=False, soft_wrap=True)
            said, at = what, now

    return tell
