"""What the demo shows in the terminal."""

from __future__ import annotations

import shutil
import sys
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
from backend.demo.queue import Offer
from backend.pipeline.queues.report import TabReport, sentence_of
from backend.pipeline.runs.run_report import RunReport
from backend.pipeline.status import ProjectReport
from backend.stack.supervisor import StackEvent

T = TypeVar("T")
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

            def show(report: ProjectReport, run: RunReport | None) -> None:
                line.plain = (
                    report.waiting_for if run is None else f"Run {run.number}: {run.status}"
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
            caption="Below a line the next batch begins, the lowest score first.",
            caption_justify="left",
            box=SIMPLE_HEAD,
            padding=(0, 1),
        )
        table.add_column("Task", justify="right", no_wrap=True)
        table.add_column("Score", justify="right", no_wrap=True)
        table.add_column("Note on the prediction")
        before = 0.0
        for offer in offers:
            score = before if offer.score is None else offer.score
            if score < before:
                table.add_section()
            before = score
            table.add_row(str(offer.task_id), _number(offer.score, 2), escape(offer.why) or "-")
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
            "tasks. Score~Dice: rank correlation of score and Dice. Points: median a polygon.",
            style="dim",
        )
        for version in figures.versions:
            seconds = ", ".join(f"{name} {value:.0f} s" for name, value in version.seconds.items())
            self._console.print(f"{version.name}: {seconds}", highlight=False)
        lowest = "yes" if figures.first_offered_is_lowest_score else "[red]no[/red]"
        self._console.print(f"The task offered first had the lowest score: {lowest}")
        if figures.control_arm is not None:
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


def _program() -> str:
    """Nnloop's command as the person can type it in another terminal."""
    return "nnloop" if shutil.which("nnloop") else str(Path(sys.argv[0]))


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
