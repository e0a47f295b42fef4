"""qa: labels that are probably wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from backend.cli.commands.projects import Project
from backend.cli.shared import AsJson, DataDir, connected
from backend.cli.views.sentences import say
from backend.cli.views.tables import Table
from domain.errors import LabelStudioError, SettingsError
from domain.text import counted

if TYPE_CHECKING:
    from backend.pipeline.basis.context import AppContext
    from backend.pipeline.doubts.report import CheckReport, DoubtedLabelReport


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("qa")(qa)


def qa(
    project: Project,
    limit: Annotated[int, typer.Option(min=1, help="Labels to list, at most.")] = 30,
    right: Annotated[
        list[int] | None,
        typer.Option(metavar="TASK", help="The label of this task is right; may be repeated."),
    ] = None,
    not_right: Annotated[
        list[int] | None,
        typer.Option(metavar="TASK", help="Takes --right of this task back; may be repeated."),
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List labels that are probably wrong, the most doubtful first, fresh from Label Studio.

    Each label is compared with the prediction of the fold that has not seen it: another class, an
    object that was left out or drawn beside its place, nothing drawn by mistake, an outline with
    too few points. They stand in the tab 'Check these labels' too. Correct what is wrong there.
    What is right, say so with --right: it is not doubted again until it changes, or --not-right
    takes it back.

    Example: nnloop qa "Carotid" --limit 10

    Example: nnloop qa "Carotid" --right 12 --right 40
    """
    from backend.pipeline.doubts.report import check_report

    opened, project_id = connected(project, data_dir)
    remarks = _look(opened, project_id, right or [], not_right or [])
    report = check_report(opened, project_id)
    names = _names(opened, report.labels[:limit])
    if as_json:
        typer.echo(
            json.dumps(as_value(opened, project_id, report, names, limit, remarks), indent=1)
        )
        return
    for remark in remarks:
        say(remark)
    if not report.labels:
        say(report.why_none)
        return
    shown = report.labels[:limit]
    if report.remark:
        say(report.remark)
    images = _images(opened, project_id, shown)
    _table(opened, project_id, report, (shown, images), names).print()
    _say_what_to_do(opened, project_id, report, len(shown))


def as_value(
    opened: AppContext,
    project_id: int,
    report: CheckReport,
    names: dict[int, str],
    limit: int,
    remarks: Sequence[str] = (),
) -> dict[str, object]:
    """The report as a JSON value; boxes are left, top, width, height in pixels.

    ``remarks`` say what could not be done, ``why_none`` why nothing is doubted ("" where something
    is), ``not_listed`` how many labels ``limit`` has left out.
    """
    from backend.label_studio.views import task_page

    return {
        "version": report.version,
        "serving": report.serving,
        "compared": report.n_compared,
        "found_right": report.n_checked,
        "tab": report.tab_url,
        "doubtful": len(report.labels),
        "not_listed": max(len(report.labels) - limit, 0),
        "why_none": report.why_none,
        "remarks": list(remarks),
        "labels": [
            {
                "task_id": one.task_id,
                "annotation_id": one.annotation_id,
                "annotators": [names.get(person, str(person)) for person in one.annotators],
                "url": task_page(opened.settings.label_studio_url, project_id, one.task_id),
                "rarity": one.rarity,
                "doubts": [
                    {
                        "kind": doubt.kind,
                        "label": doubt.label,
                        "other": doubt.other,
                        "box": doubt.box,
                        "strength": doubt.strength,
                        "sentence": doubt.sentence,
                    }
                    for doubt in one.doubts
                ],
            }
            for one in report.labels[:limit]
        ],
    }


def _look(
    opened: AppContext, project_id: int, right: Sequence[int], not_right: Sequence[int]
) -> list[str]:
    """Reads the project, and notes what was checked; sentences about what could not be done."""
    from backend.pipeline.doubts.current import doubt_again, find_right, require_tasks
    from backend.pipeline.doubts.tab import check_labels
    from backend.pipeline.sync.reading import read_project
    from backend.store import projects

    if both := sorted(set(right) & set(not_right)):
        raise SettingsError(
            f"Task {both[0]} is said to be right and not right.", remedy="Give one of the two."
        )
    remarks = []
    try:
        read_project(opened, project_id)
    except LabelStudioError as error:
        remarks.append(f"{error} These are the labels as they were read last.")
    if right or not_right:
        with opened.store.begin() as session:
            project = projects.get(session, project_id)
            require_tasks(session, project, [*right, *not_right])
            no_doubt = find_right(session, project, right)
            no_change = doubt_again(session, project, not_right)
        if no_doubt:
            remarks.append(f"Not doubted now, so nothing was noted: {_tasks(no_doubt)}.")
        if no_change:
            remarks.append(
                f"Nothing to take back: {_tasks(no_change)}. The label was not found right, has "
                "changed since, or is marked as ground truth in Label Studio."
            )
    if not remarks or right or not_right:
        try:
            check_labels(opened, project_id)
        except LabelStudioError as error:
            remarks.append(f"{error} The tab follows at the next reading.")
    return remarks


def _tasks(ids: Sequence[int]) -> str:
    return f"{'task' if len(ids) == 1 else 'tasks'} {', '.join(map(str, ids))}"


def _names(opened: AppContext, labels: tuple[DoubtedLabelReport, ...]) -> dict[int, str]:
    """What Label Studio calls the annotators; without it their ids must do."""
    if not any(one.annotators for one in labels):
        return {}
    try:
        return {user.id: user.email for user in opened.label_studio.list_users()}
    except LabelStudioError:
        return {}


def _images(
    opened: AppContext, project_id: int, labels: Sequence[DoubtedLabelReport]
) -> dict[int, str]:
    """What the tasks' images are called, as far as they have names."""
    from backend.pipeline.basis.image_names import image_names
    from backend.store import projects

    with opened.store.read() as session:
        project = projects.get(session, project_id)
        return image_names(session, project, (one.task_id for one in labels))


def _table(
    opened: AppContext,
    project_id: int,
    report: CheckReport,
    listed: tuple[Sequence[DoubtedLabelReport], dict[int, str]],
    names: dict[int, str],
) -> Table:
    from backend.label_studio.views import task_page

    labels, images = listed
    table = Table(("Task", "Image", "Why", "Where (px)", "By", "As strong in"))
    for one in labels:
        # Where a terminal knows links, a click opens the task.
        url = task_page(opened.settings.label_studio_url, project_id, one.task_id)
        why = f"{one.kind}: {one.sentence}"
        if also := ", ".join(doubt.kind for doubt in one.doubts[1:]):
            why += f" (also: {also})"
        x, y, width, height = one.box
        table.add(
            Text(str(one.task_id), style=f"link {url}"),
            images.get(one.task_id, ""),
            why,
            [f"{width} x {height} at {x}, {y}"],
            [names.get(i, f"user {i}") for i in one.annotators] or "-",
            f"{max(1, round(one.rarity * report.n_compared))} of {report.n_compared}",
        )
    return table


def _say_what_to_do(opened: AppContext, project_id: int, report: CheckReport, n_shown: int) -> None:
    from backend.label_studio.views import task_page

    if n_shown < len(report.labels):
        say(f"{len(report.labels) - n_shown} more: --limit {len(report.labels)}")
    if report.serving != report.version:
        say(
            f"They are doubted by {report.version}, the newest version that was trained here; "
            f"{report.serving or 'no version'} serves."
        )
    if report.n_checked:
        say(f"{counted(report.n_checked, 'label was', 'labels were')} looked at and found right.")
    first = task_page(opened.settings.label_studio_url, project_id, report.labels[0].task_id)
    if report.tab_url:
        say(f"Look at them in the tab 'Check these labels': {report.tab_url}")
    say(f"One task, by its id: {first}")
    say(
        "Click a task's row, correct the annotation and press Update. If it is right: nnloop qa "
        f"{project_id} --right {report.labels[0].task_id}"
    )
