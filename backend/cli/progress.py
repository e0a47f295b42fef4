"""A bar for work on many cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from backend.cli.shared import error_console


@contextmanager
def case_progress(description: str, total: int) -> Iterator[Callable[[], None]]:
    """Shows a bar; yields what to call after each case."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    # On stderr, so that --json stays JSON.
    with Progress(*columns, console=error_console, transient=True) as bars:
        task = bars.add_task(description, total=total)
        yield lambda: bars.advance(task)
