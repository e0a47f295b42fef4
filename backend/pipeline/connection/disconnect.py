"""Takes nnloop out of a project, and forgets it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection
from pathlib import Path

from backend.label_studio import ProjectInfo
from backend.label_studio.projects import SEQUENTIAL_SAMPLING, UNCERTAINTY_SAMPLING
from backend.pipeline.basis.context import AppContext
from backend.pipeline.doubts.tab import remove_check_tab
from backend.pipeline.queues.tabs import remove_tabs
from backend.pipeline.runs import control
from backend.pipeline.runs.lapses import free_lapsed
from backend.pipeline.sync.drift import TITLE, is_of_another, leave, require_same, webhook_url
from backend.store import projects
from backend.store.forget import forget_project
from backend.store.models import ProjectRow
from backend.store.training import runs, versions
from domain.errors import MissingError, ProjectGoneError, TrainingError
from domain.text import counted

# A training at work ends at its next epoch; one whose worker was killed counts as at work until its
# lease runs out.
END_S = 45.0


def disconnect(
    context: AppContext, project_id: int, *, purge: bool = False, local: bool = False
) -> list[str]:
    """Takes backend, webhook and tabs out of Label Studio, and forgets the project here.

    Annotations, tasks and other models' predictions are never touched. A run at work is cancelled
    first. Can be repeated after a failure.

    Args:
        context: The process's context.
        project_id: A connected project; Label Studio may have it no more.
        purge: Whether the predictions of nnloop's versions go from Label Studio, and the project's
            folder (cases, runs, versions) from the disk. Otherwise the folder is moved aside.
        local: Whether Label Studio is left alone, say because it is there no more.

    Returns:
        What was done, a sentence each.

    Raises:
        NotConnectedError: nnloop does not know the project.
        LabelStudioError: Label Studio refused a step or does not answer; nothing is forgotten.
        TrainingError: A run at work did not end in time; nothing is forgotten.
    """
    with context.store.begin() as session:
        project = projects.get(session, project_id)
        names = [version.name for version in versions.versions_of(session, project_id)]
        leave(session, project_id)
    done = end_run(context, project_id)
    done += ["Label Studio was not asked."] if local else _take_out(context, project, names, purge)
    return done + forget(context, project_id, purge=purge)


def forget(context: AppContext, project_id: int, *, purge: bool = False) -> list[str]:
    """Deletes the project's rows, and deletes its folder or moves it aside; says what was done."""
    done = []
    folder = context.workspace(project_id).folder
    if folder.exists() and purge:
        shutil.rmtree(folder)
        done.append(f"Deleted its folder {folder}.")
    elif folder.exists():
        aside = _free(context.settings.data_dir / "disconnected", project_id)
        aside.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(aside)
        done.append(f"Its folder with cases and versions is now {aside}.")
    with context.store.begin() as session:
        forget_project(session, project_id)
    return [*done, f"Forgot project {project_id}."]


def end_run(context: AppContext, project_id: int) -> list[str]:
    """Cancels the active run and waits until it is over; says so.

    Raises:
        TrainingError: It is still at work after ``END_S``.
    """
    with context.store.begin() as session:
        run = runs.active_run(session, project_id)
    if run is None:
        return []
    control.cancel(context, project_id)
    deadline = time.monotonic() + END_S
    while not control.settle(context, run.id):
        free_lapsed(context)
        if time.monotonic() > deadline:
            raise TrainingError(
                f"Run {run.number} of project {project_id} is being cancelled, but is still at "
                "work.",
                remedy="Try again in a minute; `nnloop status` says when it is over.",
            )
        time.sleep(0.2)
    return [f"Cancelled run {run.number}."]


def _take_out(
    context: AppContext, project: ProjectRow, names: Collection[str], purge: bool
) -> list[str]:
    client = context.label_studio
    try:
        info = client.project(project.id)
    except MissingError:
        info = None
    try:
        require_same(project, info)
    except ProjectGoneError as error:
        return [f"{error} Nothing is left there to take out."]
    assert info is not None  # noqa: S101 - require_same raised
    own_url = context.settings.service_url
    urls = {b.url for b in client.list_backends(project.id) if b.url == own_url or b.title == TITLE}
    webhooks = client.list_webhooks(project.id)
    others = sorted(url for url in urls if is_of_another(url, webhooks, context.settings))
    if others and own_url not in urls:
        return [f"The project is connected to the nnloop at {others[0]}: nothing was taken out."]
    urls -= {*others}
    for url in sorted(urls):
        client.remove_backend(project.id, url)
    # Label Studio leaves the webhook of a backend that somebody else took out.
    client.remove_webhook(project.id, webhook_url(context.settings))
    done = [f"Took out the ML backend {url} and its webhook." for url in sorted(urls)]
    if not urls:
        done.append("The ML backend was gone already.")
    tabs = [*remove_tabs(context, project.id), *remove_check_tab(context, project.id)]
    done += [f"Took out the tab {title!r}." for title in tabs]
    done += _reset(context, info, names)
    # Also those of versions of an earlier connection: names are counted anew after each.
    held = [name for name in client.count_predictions(project.id) if _is_ours(name, names)]
    if purge:
        for name in held:
            n = client.delete_model_version(project.id, name)
            done.append(f"Deleted {counted(n, 'prediction')} of {name}.")
    elif held:
        done.append(
            f"Predictions of {', '.join(held)} stay in Label Studio (--purge deletes them)."
        )
    return done


def _is_ours(version: str, names: Collection[str]) -> bool:
    return version in names or versions.OWN_NAME.fullmatch(version) is not None


def _reset(context: AppContext, info: ProjectInfo, names: Collection[str]) -> list[str]:
    """Puts back what the project shows and in which order, where it is still nnloop's."""
    client, done = context.label_studio, []
    if info.model_version in {*names, TITLE}:
        client.update_project(info.id, model_version="")
        done.append(f"The project shows no predictions any more (it was {info.model_version!r}).")
    if info.sampling == UNCERTAINTY_SAMPLING:
        client.update_project(info.id, sampling=SEQUENTIAL_SAMPLING)
        done.append("Tasks come one after the other again.")
    return done


def _free(folder: Path, project_id: int) -> Path:
    name = f"{project_id}-{time.strftime('%Y%m%d-%H%M%S')}"
    taken = {path.name for path in folder.iterdir()} if folder.exists() else set()
    number = 1
    found = name
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    return folder / found
