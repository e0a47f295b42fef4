"""A bar for work on many things."""

from __future__ import annotations

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
