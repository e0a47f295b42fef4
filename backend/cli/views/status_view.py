"""What `nnloop status` shows of a project, in the width of the terminal."""

from __future__ import annotations

from rich.text import Text

from backend.cli.shared import ago, console
from backend.cli.views.models_view import HELD_OUT, dice_parts, print_below
from backend.cli.views.sentences import heading, say, with_reason, wrapped
from backend.cli.views.tables import Table
from backend.pipeline.labels import questions
from backend.pipeline.progress.words import learning_in_words
from backend.pipeline.quality.effort import EffortReport
from backend.pipeline.quality.words import saved_words
from backend.pipeline.queues.report import sentence_of
from backend.pipeline.queues.words import meaning_of
from backend.pipeline.runs.run_report import FoldReport, RunReport
from backend.pipeline.status import ProblemGroup, ProjectReport, ServiceReport
from backend.settings.duration import say_duration
from domain.states import FoldStatus, RunControl
from domain.text import counted, one_line

# Of the tasks of a problem so many are named; `--problems` and `--json` name all.
NAMED_TASKS = 8

SHORT = 400
"""Characters of a text that is shown among others; `--problems` and `nnloop log` show more."""

_ROLES = {
    "loop": "reads Label Studio and pushes predictions",
    "predict": "prepares, judges and predicts",
    "train": "trains",
}


def print_service(report: ServiceReport) -> None:
    """Prints the queue and the workers."""
    if report.error:
        say(report.error, lead="[red]Queue:[/red]")
        return
    waiting = _jobs_wait(sum(report.waiting.values()))
    if not report.workers:
        say(f"none; {waiting}. Start them: nnloop up", lead="[red]Workers:[/red]")
    else:
        say(f"{', '.join(report.workers)}; {waiting}", lead="Workers:")
    if report.failed:
        say(
            f"{counted(report.failed, 'job')} failed. Which, and why: nnloop jobs",
            lead="[red]Jobs:[/red]",
        )
    for role in report.missing_roles if report.workers else ():
        say(f"Start one: nnloop worker --role {role}", lead=f"[red]No worker {_ROLES[role]}.[/red]")


def _jobs_wait(n: int) -> str:
    return "1 job waits" if n == 1 else f"{n} jobs wait"


def print_project(report: ProjectReport, *, lists_problems: bool = False) -> None:
    """Prints a project; its problems in groups, or each by itself."""
    heading(f"{report.id}  {report.title}")
    read = "not read yet" if report.synced_at is None else f"read {ago(report.synced_at)}"
    say(
        f"{report.labelled} labelled, {report.unlabelled} unlabelled, {report.skipped} skipped of "
        f"{counted(report.tasks, 'task')}; {read}; serves {report.champion or 'nothing'}"
    )
    say(f"Next training: {_waits_for(report)}")
    if report.tabs:
        say(_queues(report), lead="Queues:")
        say(_legend(report))
    if report.looked_at is not None:
        done = f"{report.looked_at.n} of {report.looked_at.wanted}"
        say(f"{done} looked at, to choose the tasks of the queues", lead="Images:")
    if report.tells_by_chance:
        say(sentence_of(report.control_arm), lead="Control arm:")
    if report.effort is not None:
        say(_effort(report.effort), lead="Effort:")
        for text in report.effort.warnings:
            say(text, lead="[yellow]Effort:[/yellow]")
    if report.doubtful_labels:
        say(_doubtful(report), lead="Labels:")
    if report.versions or report.learning.is_asked:
        say(learning_in_words(report.learning), lead="More labels:")
    if report.error:
        say(one_line(report.error, SHORT), lead="[red]Label Studio:[/red]")
    if report.active_run is not None:
        _folds(report.active_run).print()
        for fold in report.active_run.folds:
            if remarks := _remarks(fold):
                say(f"Fold {fold.fold}: {one_line('; '.join(remarks), SHORT)}")
        if report.active_run.preset_reason:
            say(
                with_reason(report.active_run.preset, report.active_run.preset_reason),
                lead="Preset:",
            )
        for text in filter(None, (report.active_run.note, report.active_run.waits_for)):
            say(text)
    last = report.runs[0] if report.runs else None
    if last is not None and last.error:
        say(one_line(last.error, SHORT), lead=f"[red]Run {last.number} {last.status}:[/red]")
    if report.versions:
        _versions(report).print()
        print_below(report.versions)
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


def _legend(report: ProjectReport) -> str:
    """Of what the numbers are, and what the strategies' names mean."""
    strategies = sorted({tab.strategy for tab in report.tabs if tab.strategy})
    words = "Left of each batch under way, whose size changes when tasks are drawn anew"
    return "; ".join([words, *map(meaning_of, strategies)]) + "."


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
    """Its lines, on a terminal those after the first set in."""
    width = console.width - len(stage) - 1 if console.is_terminal else 0
    indent = "\n" + " " * (len(stage) + 1)
    said = [Text(wrapped(one_line(message, 1_000), width).replace("\n", indent))]
    if remedy:
        text = wrapped(one_line(remedy, SHORT), width).replace("\n", indent)
        said.append(Text(text, "dim"))
    shown = Text(indent).join(said)
    console.print(Text(f"{stage} ", "yellow"), end="")
    console.print(shown, soft_wrap=True, highlight=False)


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


def _folds(run: RunReport) -> Table:
    table = Table(
        (
            "Fold",
            "Status",
            "Epoch",
            "Loss",
            "Val. loss",
            "Dice (patches)",
            "Dice (held out)",
            "Left",
            "Device",
        ),
        title=_title(run),
    )
    for fold in run.folds:
        table.add(
            str(fold.fold),
            fold.status,
            f"{fold.epoch}/{fold.epochs}",
            _figure(fold.train_loss),
            _figure(fold.val_loss),
            _figure(fold.dice),
            held_out_of(fold),
            "" if fold.eta_s is None else say_duration(fold.eta_s),
            fold.device,
        )
    return table


def held_out_of(fold: FoldReport) -> str:
    """Dice of a fold, and whether it is of all cases it holds out: a sample until it is done."""
    if fold.case_dice is None:
        return ""
    return f"{fold.case_dice:.3f} {'all' if fold.status == FoldStatus.DONE else 'sample'}"


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
    table = Table(("Version", "Status", "Labels", HELD_OUT, "Pushed"), title="Versions")
    for version in report.versions:
        table.add(
            version.name,
            version.standing,
            str(version.labels),
            dice_parts(version.oof_dice),
            f"{version.published}/{version.scored}",
        )
    return table
