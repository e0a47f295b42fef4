"""labels: what the labels of a project are called, and were called before."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.commands.projects import Project
from backend.cli.shared import AsJson, DataDir, connected, error_console
from backend.cli.views.progress import progress
from backend.cli.views.sentences import say
from backend.cli.views.tables import Table
from domain.errors import LabelStudioError, SettingsError
from domain.text import counted

if TYPE_CHECKING:
    from backend.pipeline.basis.context import AppContext
    from backend.pipeline.labels.mapping import LabelReport
    from backend.pipeline.labels.writing import WriteReport


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("labels")(labels)


def labels(
    project: Project,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="OLD=NEW",
            help="The label OLD is called NEW now; repeat for more.",
        ),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD",
            help="Regions of this former label count as background; repeat for more.",
        ),
    ] = None,
    keep_apart: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW", help="NEW is another label than OLD was; OLD alone: all are."
        ),
    ] = None,
    unmap: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD", help="Forget what was said of this former label; repeat for more."
        ),
    ] = None,
    write: Annotated[
        bool,
        typer.Option(
            "--write", help="Change the names in Label Studio's annotations, other people's too."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --write: only say what would change.")
    ] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Say how labels were renamed; without an option, show them and who uses them.

    After a rename in Label Studio --map makes it known: annotations, versions, exports and the
    gate read the old name as the new, and predictions go out under it. Two old names may become
    one; one can't become two: relabel those tasks. --write changes the names in the annotations
    in Label Studio too, nothing else in them.

    Example: nnloop labels "Carotid" --map lumen=Lumen

    Example: nnloop labels "Carotid" --write --dry-run
    """
    from backend.pipeline.labels.mapping import LabelChange, change_labels, label_report
    from backend.pipeline.labels.writing import write_labels

    if dry_run and not write:
        raise SettingsError("--dry-run goes with --write.", remedy="Add --write.")
    opened, project_id = connected(project, data_dir)
    remark = _read(opened, project_id)
    change = LabelChange(
        renamed=[pair("--map", text) for text in map_ or ()],
        dropped=drop or (),
        apart=[pair("--keep-apart", text, needs_both=False) for text in keep_apart or ()],
        forgotten=unmap or (),
    )
    sentences = [remark] if remark else []
    if map_ or drop or keep_apart or unmap:
        sentences += change_labels(opened, project_id, change)
    if write:
        if remark:
            raise SettingsError(remark, remedy="Nothing was written. Try again.")
        with progress("Writing", None, on=error_console) as on_task:
            report = write_labels(opened, project_id, is_dry=dry_run, on_task=on_task)
        sentences += _written(report)
        if not dry_run:
            _read(opened, project_id)
    use_of_labels = label_report(opened, project_id)
    if as_json:
        typer.echo(json.dumps(as_value(use_of_labels, sentences), indent=1))
        return
    for sentence in sentences:
        say(sentence)
    _print(use_of_labels)


def as_value(report: LabelReport, sentences: list[str]) -> dict[str, object]:
    """The report as a JSON value."""
    return {
        "labels": [
            {"name": use.name, "annotations": use.n_annotations, "tasks": len(use.tasks)}
            for use in report.present
        ],
        "missing": [
            {
                "name": use.name,
                "annotations": use.n_annotations,
                "tasks": sorted(use.tasks),
                "counts_as": report.counts_as.get(use.name),
            }
            for use in report.missing
        ],
        "mapping": report.mapping,
        "kept_apart": [list(pair) for pair in report.apart],
        "questions": [{"message": one.message, "remedy": one.remedy} for one in report.questions],
        "said": sentences,
    }


def _read(opened: AppContext, project_id: int) -> str:
    """Reads the project from Label Studio; a sentence where that can't be."""
    from backend.pipeline.sync.reading import read_project

    try:
        read_project(opened, project_id)
    except LabelStudioError as error:
        return f"{error} These are the labels as they were read last."
    return ""


def pair(option: str, text: str, *, needs_both: bool = True) -> tuple[str, str]:
    """``OLD=NEW`` as two names; without ``needs_both`` OLD alone is (OLD, "").

    Raises:
        SettingsError: It is neither.
    """
    old, equals, new = (part.strip() for part in text.partition("="))
    if not old or (needs_both and not new) or (equals and not new):
        raise SettingsError(
            f"{option} {text!r} can't be used.",
            remedy=f"Write {option} OLD=NEW, in quotes where a name has spaces.",
        )
    return old, new


def _written(report: WriteReport) -> list[str]:
    word = _verb(report, report.annotations, "changed")
    names = ", ".join(f'"{name}" in {n}' for name, n in report.names.items())
    sentences = [
        f"{counted(report.annotations, 'annotation')} of people in Label Studio {word}"
        + (f" ({names}; only the names of labels in them)." if names else ".")
    ]
    if report.touched:
        sentences.append(
            f"{counted(report.touched, 'newer annotation')} of the same tasks "
            f"{_verb(report, report.touched, 'saved')} again as they are, so that the newest stays "
            "the newest."
        )
    return sentences + report.skipped


def _verb(report: WriteReport, n: int, participle: str) -> str:
    will = "would be" if report.is_dry else "was" if n == 1 else "were"
    return f"{will} {participle}"


def _print(report: LabelReport) -> None:
    table = Table(("Label", "Counts as", "Annotations", "Tasks"))
    for use in report.present:
        table.add(use.name, "", str(use.n_annotations), str(len(use.tasks)))
    for use in report.missing:
        table.add(
            use.name,
            _counts_as(report, use.name),
            str(use.n_annotations),
            str(len(use.tasks)),
        )
    used = {use.name for use in report.missing}
    present = {use.name for use in report.present}
    for name in report.mapping:
        if name not in used and name not in present:
            table.add(name, _counts_as(report, name), "0", "0")
    table.print()
    for name in sorted(present & report.mapping.keys()):
        say(f'"{name}" is a label again; that it counts as "{report.mapping[name]}" has no effect.')
    for question in report.questions:
        say(question.message)
        say(question.remedy)


def _counts_as(report: LabelReport, name: str) -> str:
    if name not in report.counts_as:
        return "? the interface lacks it"
    return report.counts_as[name] or "background"
