"""How `nnloop models` puts versions, comparisons and changes on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.markup import escape

from backend.cli.shared import ago, console, figure
from backend.cli.views.sentences import heading, say, with_reason
from backend.cli.views.tables import Table
from backend.pipeline.gate.verdict import in_brackets
from backend.pipeline.models.details import VersionDetails
from backend.pipeline.models.serving import Change
from backend.pipeline.models.side_by_side import VersionComparison
from backend.pipeline.models.version_report import VersionReport
from domain.gate_verdict import Verdict
from domain.reliability import Reliability
from domain.states import VersionOrigin
from domain.text import counted, signed
from training.versions.metrics import ImportedModel

NAMED_RUNS = 3
"""Of the runs that made no version so many are named."""

RUNS = "nnloop runs"

HELD_OUT = "Dice per class (held out, all cases)"
"""Heading of a version's own figures, ``VersionReport.oof_dice``; docs/evaluation.md has the
others."""


def print_list(reports: Sequence[VersionReport], runs: str = RUNS) -> None:
    """The table of a project's versions, newest first, and what the gate said of each.

    Args:
        reports: The versions.
        runs: The command that lists the project's runs, as a person would type it.
    """
    table = Table(("Version", "Status", "Labels", HELD_OUT, "Size", "Made"))
    for report in reversed(reports):
        table.add(
            report.name,
            _status(report),
            "" if report.origin == VersionOrigin.IMPORTED else str(report.labels),
            dice_parts(report.oof_dice),
            "pruned" if report.pruned_at else size_text(report.size_bytes),
            ago(report.created_at),
        )
    table.print()
    print_below(list(reversed(reports)), runs)


def print_below(reports: Sequence[VersionReport], runs: str = RUNS) -> None:
    """What a table of versions has no room for: why numbers are missing, what the gate said."""
    if why := why_numbered(reports, runs):
        say(why)
    for report in reports:
        if report.gate:
            say(report.gate, lead=f"[bold]{escape(report.name)}[/bold], the gate:")


def print_details(details: VersionDetails, *, n_annotations: int | None) -> None:
    """Everything about a version; ``n_annotations`` rows of them, None: all."""
    report = details.report
    heading(report.name)
    rows = {
        "Status": _status(report),
        "Made": ago(report.created_at)
        + (f" by run {report.run}" if report.run else "")
        + (f", pruned {ago(report.pruned_at)}" if report.pruned_at else ""),
        "Classes": ", ".join(details.class_values),
        "Channels": str(details.n_channels),
        "Preset": with_reason(details.preset, details.preset_reason),
        "Size": size_text(report.size_bytes),
        "Predictions": f"{report.scored} scored, {report.published} pushed, {report.failed} failed",
        "Held-out Dice": _held_out(details),
        "Gate": report.gate or "-",
        "Libraries": ", ".join(f"{name} {value}" for name, value in details.libraries.items()),
        "Settings": ", ".join(f"{name}={value}" for name, value in details.settings.items()),
        "Members": ", ".join(details.members),
        "Working size": _working_size(details),
        "Scores": _scores(details),
        "Flips and turns": " ".join(details.symmetries),
        "Remark": details.remark,
        "Imported": _imported(details.imported) if details.imported else "",
        "Manifest": details.manifest_digest,
    }
    for name, value in rows.items():
        if value:
            console.print(f"{name + ':':18}{value}", highlight=False, markup=False, soft_wrap=True)
    if details.reliability:
        _reliability(details.reliability).print()
    if details.verdict is not None and details.verdict.classes:
        _verdict(details.verdict).print()
    if details.folds:
        _folds(details).print()
    if details.trained_on:
        _annotations(details, n_annotations).print()
    for item in details.left_out[:n_annotations]:
        say(f"{'Noted' if item.is_remark else 'Left out'}: {item.in_full}")


def _working_size(details: VersionDetails) -> str:
    size = details.working_size
    if size is None:
        return ""
    if size.working_side >= size.side:
        return f"as the images are: the median has {size.side} pixels on its longest side"
    kept = ", ".join(
        f"{details.class_values[k - 1]} {dice:.3f}"
        for k, dice in sorted(size.kept.items())
        if k <= len(details.class_values)
    )
    return (
        f"{size.working_side} of {size.side} pixels on the longest side; at most these Dice can be "
        f"reached there: {kept}"
    )


def _scores(details: VersionDetails) -> str:
    if not details.calibrated_on:
        return "not calibrated: no prediction has a truth yet that the version did not know"
    return f"calibrated on {counted(details.calibrated_on, 'honest pair')} of prediction and truth"


def _reliability(found: Mapping[str, Reliability]) -> Table:
    """What scores said against what was true; a dash where so few pairs say nothing."""
    columns = ("Pairs", "n", "Bias", "Calibration error", "Spearman", "AUROC worst tenth", "AURC")
    table = Table((*columns, "In the 90 % interval"), title="Scores against true Dice")
    for kind, figures in found.items():
        bias = "-" if figures.bias is None else signed(figures.bias, 3)
        row = (figures.ece, figures.spearman, figures.auroc, figures.aurc)
        inside = "-" if figures.coverage is None else f"{figures.coverage:.0%}"
        table.add(kind, str(figures.n), bias, *(figure(value) for value in row), inside)
    return table


def print_comparison(versions: VersionComparison) -> None:
    """Two versions per class, and in the mean."""
    comparison = versions.comparison
    table = Table(
        ("Class", versions.first, versions.second, "Difference [95 % bounds]", "Cases"),
        title=f"Dice of {versions.second} against {versions.first}, on the cases both held out",
    )
    for row in comparison.classes:
        absent = f" (+{row.n_alike} without it)" if row.n_alike else ""
        table.add(
            row.name,
            figure(row.champion),
            figure(row.challenger),
            [in_brackets(row.difference, row.low, row.high)],
            f"{row.n_cases}{absent}",
        )
    table.add(
        "mean per image",
        f"{comparison.champion:.3f}",
        f"{comparison.challenger:.3f}",
        [in_brackets(comparison.difference, comparison.low, comparison.high)],
        f"{comparison.n_cases} of {counted(comparison.n_groups, 'group')}",
    )
    table.print()
    if comparison.n_empty:
        say(
            f"Cases with nothing in them: {comparison.n_empty}, of which {versions.first} left "
            f"{comparison.champion_left_empty} empty, {versions.second} "
            f"{comparison.challenger_left_empty}."
        )
    if comparison.not_compared:
        names = ", ".join(comparison.not_compared)
        say(f"Not compared, because only one of the two knows it: {names}.")
    if versions.n_changed or versions.n_only_one:
        say(
            f"Left out: {counted(versions.n_changed, 'common case')} whose annotations differ, and "
            f"{versions.n_only_one} that only one of them has."
        )
    if versions.n_seen:
        say(
            f"Left out: {counted(versions.n_seen, 'case')} that a fold has seen which measured it, "
            "by the groups of now."
        )
    if versions.remark:
        say(versions.remark)


def print_change(change: Change) -> None:
    """Which version serves now, and what follows."""
    n, new = change.to_push, change.to_score
    once = f" once {counted(new, 'new task')} {'is' if new == 1 else 'are'} scored" if new else ""
    say(
        "serves"
        + (f" in the place of {change.before}" if change.before else "")
        + f": {counted(n, 'stored prediction')} {'goes' if n == 1 else 'go'} to Label Studio"
        + f"{once}.",
        lead=f"[green]{escape(change.version)}[/green]",
    )
    if not change.is_queued:
        say("nnloop is not running: it follows when `nnloop up` is started.")


def size_text(n_bytes: int) -> str:
    """Bytes for people.

    >>> size_text(1_234_567)
    '1.2 MB'
    """
    size = float(n_bytes)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _status(report: VersionReport) -> str:
    origin = "" if report.origin == VersionOrigin.TRAINED else f", {report.origin}"
    return f"{report.standing}{origin}{', pinned' if report.is_pinned else ''}"


def dice_parts(dice: Mapping[str, float | None]) -> list[str]:
    """Each class with its Dice, for a cell: they stay together."""
    return [f"{name} {figure(value)}" for name, value in dice.items()]


def why_numbered(reports: Sequence[VersionReport], command: str = RUNS) -> str:
    """Why the numbers of versions have gaps, or begin with 2; "" where they do not."""
    runs = {report.run for report in reports if report.run}
    missing = [number for number in range(1, max(runs, default=0)) if number not in runs]
    if not missing:
        return ""
    named = ", ".join(map(str, missing[:NAMED_RUNS]))
    more = f" and {len(missing) - NAMED_RUNS} more" if len(missing) > NAMED_RUNS else ""
    which = "run" if len(missing) == 1 else "runs"
    return f"A version has the number of its run; {which} {named}{more} made none ({command})."


def _held_out(details: VersionDetails) -> str:
    """Its Dice per class, and of what it is the mean."""
    dice = details.report.oof_dice
    if not dice:
        return "not measured"
    n = sum(bool(entry.dice) for entry in details.trained_on)
    return f"{', '.join(dice_parts(dice))}; per class, mean of all {counted(n, 'held-out case')}"


def _imported(model: ImportedModel) -> str:
    return ", ".join(f"{name}: {value}" for name, value in asdict(model).items() if value)


def _verdict(verdict: Verdict) -> Table:
    table = Table(
        ("Class", "Champion", "Challenger", "Difference [bounds]", "Cases", "Without it"),
        title="Dice at the gate, on the same held-out cases",
    )
    for row in verdict.classes:
        table.add(
            row.name,
            figure(row.champion),
            figure(row.challenger),
            [in_brackets(row.difference, row.low, row.high)],
            str(row.n_cases),
            str(row.n_alike),
        )
    return table


def _folds(details: VersionDetails) -> Table:
    table = Table(
        ("Fold", "Epochs", "Seconds", "Device", "Started from", "Seed", "Dice of its own cases"),
        title="Folds, each on the cases it held out, before postprocessing",
    )
    for fold, result in details.folds.items():
        table.add(
            str(fold),
            str(result.epochs),
            f"{result.seconds:.0f}",
            result.device,
            details.started_from.get(fold, "fresh weights"),
            str(details.seeds.get(fold, "")),
            dice_parts(result.dice_per_class),
        )
    return table


def _annotations(details: VersionDetails, limit: int | None) -> Table:
    shown = details.trained_on[:limit]
    rest = len(details.trained_on) - len(shown)
    table = Table(
        ("Task", "Annotations", "Content hash", "Group", "Fold", "Dice when held out"),
        title=f"Trained on {counted(len(details.trained_on), 'task')}"
        + (f" (the first {len(shown)}; --annotations names all)" if rest else ""),
    )
    for entry in shown:
        table.add(
            str(entry.task_id),
            list(map(str, entry.annotation_ids)),
            entry.content_hash[:12],
            entry.group,
            str(entry.fold) if entry.fold >= 0 else "none",
            dice_parts(entry.dice),
        )
    return table
