"""What `nnloop status` shows of a project, in the width of the terminal."""

from __future__ import annotations

from rich import box
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from backend.cli.shared import ago, console, figure
from backend.cli.views.sentences import with_reason, wrapped
from backend.pipeline.labels import questions
from backend.pipeline.progress.words import learning_in_words
from backend.pipeline.quality.effort import EffortReport
from backend.pipeline.quality.words import saved_words
from backend.pipeline.queues.report import sentence_of
from backend.pipeline.runs.run_report import FoldReport, RunReport
from backend.pipeline.status import ProblemGroup, ProjectReport, ServiceReport
from backend.settings.duration import say_duration
from domain.states import RunControl
from domain.text import counted, one_line

# Of the tasks of a problem so many are named; `--problems` and `--json` name all.
NAMED_TASKS = 8

SHORT = 400
"""Characters of a text that is shown among others; `--problems` and `nnloop log` show more."""

LONGEST_FIGURE = 12
"""Characters of a cell that is a figure or a word, and stays in one line."""

_ROLES = {
    "loop": "reads Label Studio and pushes predictions",
    "predict": "prepares, judges and predicts",
    "train": "trains",
}


def print_service(report: ServiceReport) -> None:
    """Prints the queue and the workers."""
    if report.error:
        _line(report.error, "[red]Queue:[/red]")
        return
    waiting = _jobs_wait(sum(report.waiting.values()))
    if not report.workers:
        _line(f"none; {waiting}. Start them: nnloop up", "[red]Workers:[/red]")
    else:
        _line(f"{', '.join(report.workers)}; {waiting}", "Workers:")
    for role in report.missing_roles if report.workers else ():
        _line(f"Start one: nnloop worker --role {role}", f"[red]No worker {_ROLES[role]}.[/red]")


def _jobs_wait(n: int) -> str:
    return "1 job waits" if n == 1 else f"{n} jobs wait"


def _line(text: str, lead: str = "") -> None:
    """Prints a sentence in the width of the page, also where that is no terminal."""
    first = Text.from_markup(f"{lead} ") if lead else Text()
    shown = Text.assemble(first, wrapped(text, console.width, used=first.cell_len))
    console.print(shown, overflow="fold", highlight=False)


def print_project(report: ProjectReport, *, lists_problems: bool = False) -> None:
    """Prints a project; its problems in groups, or each by itself."""
    console.rule(f"{report.id}  {escape(report.title)}", align="left")
    read = "not read yet" if report.synced_at is None else f"read {ago(report.synced_at)}"
    _line(
        f"{report.labelled} labelled, {report.unlabelled} unlabelled, {report.skipped} skipped of "
        f"{counted(report.tasks, 'task')}; {read}; serves {report.champion or 'nothing'}"
    )
    _line(f"Next training: {_waits_for(report)}")
    if report.tabs:
        _line(_queues(report), "Queues:")
    if report.looked_at is not None:
        done = f"{report.looked_at.n} of {report.looked_at.wanted}"
        _line(f"{done} looked at, to choose the tasks of the queues", "Images:")
    if report.control_arm is not None:
        _line(sentence_of(report.control_arm), "Control arm:")
    if report.effort is not None:
        _line(_effort(report.effort), "Effort:")
        for text in report.effort.warnings:
            _line(text, "[yellow]Effort:[/yellow]")
    if report.doubtful_labels:
        _line(_doubtful(report), "Labels:")
    if report.versions:
        _line(learning_in_words(report.learning), "More labels:")
    if report.error:
        _line(one_line(report.error, SHORT), "[red]Label Studio:[/red]")
    if report.active_run is not None:
        console.print(_shown(_folds(report.active_run)))
        for fold in report.active_run.folds:
            if remarks := _remarks(fold):
                _line(f"Fold {fold.fold}: {one_line('; '.join(remarks), SHORT)}")
        if report.active_run.preset_reason:
            _line(with_reason(report.active_run.preset, report.active_run.preset_reason), "Preset:")
        for text in filter(None, (report.active_run.note, report.active_run.waits_for)):
            _line(text)
    last = report.runs[0] if report.runs else None
    if last is not None and last.error:
        _line(one_line(last.error, SHORT), f"[red]Run {last.number} {last.status}:[/red]")
    if report.versions:
        console.print(_shown(_versions(report)))
    if lists_problems:
        for problem in report.problems:
            _print_problem(problem.stage, problem.message, problem.remedy)
    else:
        for group in report.problem_groups:
            _print_problem(group.stage, one_line(_sentence(group), SHORT), group.remedy)


def _queues(report: ProjectReport) -> str:
    """How much of each annotator's batch is left, and who chose: ``Anna 12/20, Ben 0/0 (...)``."""
    left = ", ".join(f"{tab.name} {tab.left}/{tab.length}" for tab in report.tabs)
    strategies = sorted({tab.strategy for tab in report.tabs if tab.strategy})
    return f"{left} left" + (f" ({', '.join(strategies)})" if strategies else "")


def _effort(report: EffortReport) -> str:
    """How many predictions were good enough as they were, and what they saved."""
    words = f"{report.n_unchanged} of {counted(report.n, 'prediction')} submitted unchanged"
    if report.saved_s is not None and report.from_scratch_s:
        words += f"; {saved_words(report.saved_s, report.from_scratch_s, report.n_drawn)}"
    return f"{words} (nnloop effort)"


def _doubtful(report: ProjectReport) -> str:
    """How many labels to look at again, and where."""
    n = report.doubtful_labels
    verb = "is" if n == 1 else "are"
    return f"{counted(n, 'label')} {verb} doubtful: nnloop qa {report.id}"


def _waits_for(report: ProjectReport) -> str:
    """What the next training waits for; a question that is asked below is not asked twice."""
    for problem in report.problems:
        if problem.stage == questions.STAGE and problem.message in report.waiting_for:
            return "waits for an answer to the question about labels below."
    return report.waiting_for


def _print_problem(stage: str, message: str, remedy: str) -> None:
    """Its lines, those after the first set in."""
    width = console.width - len(stage) - 1
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text(stage, "yellow"), Text(wrapped(one_line(message, 1_000), width)))
    if remedy:
        table.add_row("", Text(wrapped(one_line(remedy, SHORT), width), "dim"))
    console.print(table)


def _sentence(group: ProblemGroup) -> str:
    """A group in one sentence.

    ``12 tasks: the image '...' does not exist: 3, 8, 9 ... (+9)``
    """
    if not group.tasks:
        return group.message
    if len(group.tasks) == 1:
        return f"Task {group.tasks[0]}: {group.message}"
    named = ", ".join(map(str, group.tasks[:NAMED_TASKS]))
    n_more = len(group.tasks) - NAMED_TASKS
    more = f" ... (+{n_more})" if n_more > 0 else ""
    return f"{len(group.tasks)} tasks: {group.message.rstrip('.')}: {named}{more}"


def _shown(table: Table) -> Table:
    """A table without the columns in which nothing stands, its short cells in one line each."""
    table.columns = [column for column in table.columns if any(column.cells)]
    for column in table.columns:
        longest = max(len(str(cell)) for cell in column.cells)
        if longest <= LONGEST_FIGURE:
            column.min_width = longest + 2  # with the space on both sides
    table.box = box.SIMPLE_HEAD
    table.pad_edge, table.show_edge, table.collapse_padding = False, False, True
    return table


def _folds(run: RunReport) -> Table:
    table = Table(title=_title(run), title_justify="left")
    for column in ("Fold", "Status", "Epoch", "Loss", "Val. loss", "Dice (patches)", "Dice"):
        table.add_column(column)
    for column in ("Left", "Device"):
        table.add_column(column)
    for fold in run.folds:
        table.add_row(
            str(fold.fold),
            fold.status,
            f"{fold.epoch}/{fold.epochs}",
            _figure(fold.train_loss),
            _figure(fold.val_loss),
            _figure(fold.dice),
            _figure(fold.case_dice),
            "" if fold.eta_s is None else say_duration(fold.eta_s),
            fold.device,
        )
    return table


def _title(run: RunReport) -> str:
    words = [f"Run {run.number}: {run.status}"]
    if run.control == RunControl.PAUSE:
        words = [f"Run {run.number}: paused while {run.status}"]
    elif run.control == RunControl.CANCEL:
        words = [f"Run {run.number}: being cancelled"]
    if run.budget_s is not None:
        words.append(f"budget {say_duration(run.budget_s)}")
    if run.eta_s is not None:
        words.append(f"trained in about {say_duration(run.eta_s)}")
    return ", ".join(words)


def _remarks(fold: FoldReport) -> list[str]:
    remarks = [fold.error] if fold.error else []
    if fold.stopped == "plateau":
        remarks.append("ended early: Dice rose no more")
    if fold.has_smaller_batch:
        remarks.append(f"batch reduced to {fold.batch_size}: memory ran out")
    return remarks


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _versions(report: ProjectReport) -> Table:
    table = Table(title="Versions", title_justify="left")
    for column in ("Version", "Status", "Labels", "Out-of-fold Dice", "Pushed", "Gate"):
        table.add_column(column)
    for version in report.versions:
        dice = ", ".join(f"{name} {figure(value)}" for name, value in version.oof_dice.items())
        pushed = f"{version.published}/{version.scored}"
        cells = (version.name, version.standing, str(version.labels), dice, pushed, version.gate)
        table.add_row(*map(escape, cells))
    return table
