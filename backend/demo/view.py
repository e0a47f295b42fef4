"""What the demo shows in the terminal."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, track
from rich.table import Table
from rich.text import Text

from backend.demo.figures import DemoFigures, VersionFigures
from backend.demo.queue import CHANCE, Offer, begins_anew
from backend.pipeline.queues.pool import BY_CHANCE as BY_CLASS
from backend.pipeline.queues.report import TabReport, sentence_of
from backend.pipeline.queues.words import meaning_of
from backend.pipeline.runs.run_report import RunReport
from backend.pipeline.status import ProjectReport
from backend.settings.duration import say_duration
from backend.stack.supervisor import StackEvent
from domain.states import FOLD

T = TypeVar("T")
SAY_EVERY_S = 30.0
"""Where there is no terminal, a line says how far a run is so often."""

ShowRun = Callable[[ProjectReport, RunReport | None], None]


class View:
    """Prints the demo's progress to a console."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def headline(self, text: str) -> None:
        """Says what happens now."""
        self._console.print(f"[bold]{text}[/bold]")

    def event(self, event: StackEvent) -> None:
        """Says what happens to a process."""
        style = "red" if event.kind == "crashed" else "dim"
        self._console.print(f"{event.name}: {event.message}", style=style, highlight=False)

    def install(self, share: float, text: str) -> None:
        """Says how the installation of Label Studio goes on."""
        self._console.print(f"{share:4.0%} {text}", style="dim", highlight=False)

    def track(self, items: Iterable[T], total: int, description: str) -> Iterator[T]:
        """Passes items on under a progress bar."""
        yield from track(
            items, total=total, description=description, console=self._console, transient=True
        )

    @contextmanager
    def run(self) -> Iterator[ShowRun]:
        """A live display of one run: its stage, and a bar per fold."""
        bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f} epochs {task.fields[numbers]}"),
            TimeElapsedColumn(),
            console=self._console,
        )
        folds: dict[int, TaskID] = {}
        line = Text()
        with Live(Group(line, bars), console=self._console, refresh_per_second=4):
            said_at = time.monotonic()

            def show(report: ProjectReport, run: RunReport | None) -> None:
                nonlocal said_at
                line.plain = (
                    report.waiting_for if run is None else f"Run {run.number}: {run.status}"
                )
                if not self._console.is_terminal and time.monotonic() - said_at >= SAY_EVERY_S:
                    said_at = time.monotonic()
                    self._console.print(
                        line.plain if run is None else progress_of(run), highlight=False
                    )
                for fold in run.folds if run else ():
                    if fold.fold not in folds:
                        folds[fold.fold] = bars.add_task(
                            f"Fold {fold.fold}", total=fold.epochs, numbers=""
                        )
                    loss = "" if fold.train_loss is None else f"loss {fold.train_loss:.3f}"
                    dice = "" if fold.dice is None else f"Dice {fold.dice:.3f}"
                    bars.update(
                        folds[fold.fold],
                        total=fold.epochs,
                        completed=fold.epoch,
                        numbers=f"{loss} {dice} {fold.status}",
                    )

            yield show
        if not self._console.is_terminal:
            # Written to a file, the display ends without a line break.
            self._console.print()

    def version(self, figures: VersionFigures) -> None:
        """Says how a version came out."""
        self._console.print(f"{figures.name}: {figures.verdict}", highlight=False)

    def offers(self, offers: Sequence[Offer]) -> None:
        """Prints what the annotator was served, in that order, and why."""
        table = Table(
            title="The queue, as it was served",
            title_justify="left",
            caption=_caption(offers),
            caption_justify="left",
            box=SIMPLE_HEAD,
            padding=(0, 1),
        )
        table.add_column("Task", justify="right", no_wrap=True)
        table.add_column("Score", justify="right", no_wrap=True)
        table.add_column("Drawn by")
        table.add_column("Note on the prediction")
        for offer, is_new in zip(offers, begins_anew(offers), strict=True):
            if is_new:
                table.add_section()
            table.add_row(
                str(offer.task_id),
                _number(offer.score, 2),
                escape(offer.drawn_by) or "-",
                escape(offer.why) or "-",
            )
        self._console.print(table)

    def result(self, figures: DemoFigures) -> None:
        """Prints the table of versions."""
        table = Table(
            title="What the loop achieved", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1)
        )
        for column in ("Version", "Labels", "Class", "Held out", "Pushed", "Score~Dice"):
            table.add_column(column, no_wrap=True)
        table.add_column("Points", no_wrap=True)
        table.add_column("Tasks", no_wrap=True)
        for version in figures.versions:
            names = list(version.oof_dice)
            table.add_row(
                version.name,
                str(version.labels),
                "\n".join(names),
                "\n".join(_number(version.oof_dice.get(name), 3) for name in names),
                "\n".join(_number(version.pool_dice.get(name), 3) for name in names),
                _number(version.score_rank_correlation, 2),
                _number(version.vertices_median, 0),
                str(version.published),
            )
        self._console.print(table)
        self._console.print(
            "Held out: Dice against the annotations, each case by a fold that has not seen it. "
            "Pushed: Dice of the polygons in Label Studio against the truth, over unlabelled "
            "tasks. Score~Dice: rank correlation of score and Dice. Points: median of a polygon.",
            style="dim",
        )
        for version in figures.versions:
            seconds = ", ".join(f"{name} {value:.0f} s" for name, value in version.seconds.items())
            self._console.print(f"{version.name}: {seconds}", highlight=False)
        lowest = "yes" if figures.first_offered_is_lowest_score else "[red]no[/red]"
        self._console.print(f"The task offered first had the lowest score: {lowest}")
        if figures.corrected:
            self._console.print(f"Control arm: {sentence_of(figures.control_arm)}", highlight=False)
        self._console.print(f"Whole demo: {figures.seconds_total:.0f} s")
        self._console.print(
            f"The report: {figures.report}", highlight=False, markup=False, soft_wrap=True
        )

    def serving(
        self,
        url: str,
        project_id: int,
        tabs: Sequence[TabReport],
        login: tuple[str, str] | None,
        data_dir: Path,
    ) -> None:
        """Says where to look and what to click.

        Args:
            url: Of Label Studio.
            project_id: The demo's project.
            tabs: Its annotators' queues: several where Label Studio was there before the demo.
            login: (address, password) of a Label Studio that the demo has started.
            data_dir: Where all of it is kept.
        """
        say = self._console.print
        place = tabs[0].url if len(tabs) == 1 else f"{url}/projects/{project_id}"
        say(f"\n[bold green]Label Studio is at {place}[/bold green]")
        if login is not None:
            say(f"Log in as {login[0]} with the password {login[1]}", highlight=False)
        if tabs:
            titles = " or ".join(f"'{tab.title}'" for tab in tabs)
            say(
                f"In your queue, the tab {titles}, click the arrow beside 'Label All Tasks', then "
                "'Label Tasks As Displayed': the task with the lowest score comes first, its "
                "predicted polygons ready to be corrected.",
                markup=False,
            )
        say(f"Status: {_program()} status --data-dir {data_dir}", highlight=False)
        say("Ctrl-C stops everything.")


def progress_of(run: RunReport) -> str:
    """Where a run is, in one line: its stage, the epochs of each fold, the time left."""
    words = [f"Run {run.number}: {run.status}"]
    words += [
        f"fold {fold.fold} epoch {fold.epoch}/{fold.epochs}"
        for fold in run.folds
        if fold.status in FOLD.active
    ]
    if run.eta_s is not None:
        words.append(f"training takes about {say_duration(run.eta_s)} more")
    return ", ".join(words)


def _caption(offers: Sequence[Offer]) -> str:
    """What the table does not say by itself."""
    words = ["Each time the task with the lowest score in the queue."]
    if any(begins_anew(offers)):
        words.append("At the line it was empty, and the next batch was drawn.")
    if any("before there was a model" in offer.drawn_by for offer in offers):
        words.append("What the tab offered first when version 1 came was left in it.")
    drawn = {offer.drawn_by for offer in offers}
    if CHANCE in drawn:
        words.append("Chance draws some tasks of a batch, from which quality on the whole is told.")
    if BY_CLASS in drawn:
        words.append(f"{meaning_of(BY_CLASS).replace(BY_CLASS, repr(BY_CLASS), 1)}.")
    words.append("'-': nothing stands out in the prediction.")
    return " ".join(words)


def _program() -> str:
    """Nnloop's command as the person can type it in another terminal."""
    return "nnloop" if shutil.which("nnloop") else str(Path(sys.argv[0]))


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
