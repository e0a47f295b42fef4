"""What of a project's connection is gone or was changed in Label Studio, and what to do."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from backend.credentials import service_credentials
from backend.label_studio import LabelStudioClient, ProjectInfo
from backend.label_studio.backends import BackendInfo
from backend.label_studio.projects import UNCERTAINTY_SAMPLING
from backend.label_studio.webhooks import WebhookInfo
from backend.pipeline.basis.annotations import interface_of, label_config_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.run_settings import class_values_of
from backend.pipeline.labels import questions
from backend.queue import JobName
from backend.settings import Settings
from backend.store import projects
from backend.store.models import ProjectRow, VersionRow
from backend.store.projects import CONNECTION, GONE, LEAVING, REPLACED, Fault
from backend.store.tasks import predictions
from backend.store.training import runs, versions
from domain.errors import (
    LabelConfigError,
    LabelStudioAuthError,
    PredictionError,
    ProjectGoneError,
)
from domain.states import RunControl, VersionOrigin
from training.versions.version_folder import read_version

TITLE = "nnloop"
"""Of the backend in Label Studio."""

KEY_REFUSED = "key_refused"

STANDS_STILL = "It stands still, for the project is not in Label Studio any more."


def webhook_url(settings: Settings) -> str:
    """Where Label Studio reports changes to."""
    return f"{settings.service_url}/webhook"


def webhook_headers(settings: Settings) -> dict[str, str]:
    """What the webhook logs in with: Label Studio sends it none of the backend's credentials."""
    login = ":".join(service_credentials(settings))
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"}


def is_of_another(url: str, webhooks: Iterable[WebhookInfo], settings: Settings) -> bool:
    """Whether a backend called nnloop belongs to another installation.

    The address can't tell, it may have changed: but every installation has a password of its own,
    which it puts on its webhook.
    """
    its_webhooks = [hook for hook in webhooks if hook.url.rstrip("/") == f"{url}/webhook"]
    own = webhook_headers(settings).items()
    return (
        url != settings.service_url
        and any(hook.headers for hook in its_webhooks)
        and not any(hook.headers.items() >= own for hook in its_webhooks)
    )


def require_same(project: ProjectRow, info: ProjectInfo | None) -> None:
    """Raises ProjectGoneError unless Label Studio still has the project that was connected.

    Args:
        project: As it was connected.
        info: What Label Studio has under its id; None when it has none.
    """
    again = f"Forget it (nnloop disconnect {project.id})"
    if info is None:
        raise ProjectGoneError(
            f"Project {project.id} {project.title!r} is not in Label Studio any more.",
            remedy=f"{again}. If it is there, LABEL_STUDIO_API_KEY may not see it.",
            reason=GONE,
        )
    if "" != project.created_at != info.created_at != "":
        raise ProjectGoneError(
            f"Project {project.id} {project.title!r} was deleted in Label Studio; its id has gone "
            f"to another project, {info.title!r}.",
            remedy=f"{again}, then connect the new one (nnloop connect {project.id}).",
            reason=REPLACED,
        )


def halt(session: Session, project_id: int, error: ProjectGoneError) -> None:
    """Keeps what belongs to a project that is gone from being trained, pushed or predicted.

    A run at work stands still; it goes on when the project is there again.
    """
    projects.set_faults(
        session, project_id, CONNECTION, [Fault(error.reason, str(error), error.remedy)]
    )
    projects.lock(session, project_id)
    run = runs.active_run(session, project_id)
    if run is not None and run.control == RunControl.RUN:
        runs.set_control(session, run, RunControl.PAUSE)
        run.note = f"{run.note} {STANDS_STILL}".strip()


def leave(session: Session, project_id: int) -> None:
    """Keeps everything from being started for a project that is about to be forgotten."""
    error = _leaving(project_id)
    projects.add_fault(
        session, project_id, CONNECTION, Fault(error.reason, str(error), error.remedy)
    )


def require_staying(session: Session, project_id: int) -> None:
    """Raises ProjectGoneError for a project that is being disconnected."""
    reasons = {row.reason for row in projects.open_problems(session, project_id)}
    if LEAVING in reasons:
        raise _leaving(project_id)


def _leaving(project_id: int) -> ProjectGoneError:
    return ProjectGoneError(
        f"Project {project_id} is being disconnected.",
        remedy=f"If that broke off: nnloop disconnect {project_id}, or nnloop connect {project_id}",
        reason=LEAVING,
    )


def go_on(session: Session, project_id: int) -> None:
    """Lifts ``halt`` and ``key_refused``: the project was just read."""
    for reason in (GONE, REPLACED, LEAVING, KEY_REFUSED):
        projects.resolve_problems(session, project_id, CONNECTION, reason=reason)
    run = runs.active_run(session, project_id)
    if run is not None and run.control == RunControl.PAUSE and STANDS_STILL in run.note:
        run.note = run.note.replace(STANDS_STILL, "").strip()
        runs.set_control(session, run, RunControl.RUN)


def key_refused(session: Session, project_id: int, error: LabelStudioAuthError) -> None:
    """Says that the key is refused; what else was found before stays."""
    projects.add_fault(
        session, project_id, CONNECTION, Fault(KEY_REFUSED, str(error), error.remedy)
    )


def check_connection(context: AppContext, project_id: int, info: ProjectInfo) -> list[Fault]:
    """Compares what Label Studio holds of the connection with what nnloop made; three small calls.

    What is found becomes the open problems of the stage ``connection``; those that were mended
    are closed.

    Args:
        context: The process's context.
        project_id: A connected project, read a moment ago.
        info: Label Studio's, as it was read.

    Raises:
        LabelStudioError: Label Studio does not answer.
    """
    held = read_connection(context.label_studio, project_id)
    with context.store.begin() as session:
        project = projects.get(session, project_id)
        champion = versions.champion(session, project_id)
        versions.note_unknown(session, project_id, held.n_predictions)
        n_missing = _n_missing(session, champion, held.n_predictions)
        faults = faults_of(session, project, info, held, context.settings)
        projects.set_faults(session, project_id, CONNECTION, faults)
    if n_missing < 0:
        # It stores an answer to /predict by itself; and an import that a proxy had given up may
        # have been done after all. Publishing looks which, and deletes doubles.
        context.queue.ensure(JobName.PUBLISH, project_id)
    return faults


@dataclass(frozen=True, slots=True)
class Connection:
    """What Label Studio holds of a project's connection; predictions are counted by version."""

    backends: Sequence[BackendInfo]
    webhooks: Sequence[WebhookInfo]
    n_predictions: Mapping[str, int]


def read_connection(client: LabelStudioClient, project_id: int) -> Connection:
    """Asks Label Studio, in three small calls; it looks at each backend while it lists them."""
    return Connection(
        client.list_backends(project_id),
        client.list_webhooks(project_id),
        client.count_predictions(project_id),
    )


def faults_of(
    session: Session,
    project: ProjectRow,
    info: ProjectInfo,
    held: Connection,
    settings: Settings,
) -> list[Fault]:
    """What is wrong with a connection; reads the store and changes nothing.

    Args:
        session: Of the store.
        project: As it was connected.
        info: Label Studio's.
        held: What Label Studio holds of the connection.
        settings: The installation's.
    """
    champion = versions.champion(session, project.id)
    n_missing = _n_missing(session, champion, held.n_predictions)
    faults = [
        *faults_of_backend(project.id, held.backends, held.webhooks, settings),
        *_of_project(project, info, champion, held.n_predictions),
        *_of_predictions(project, champion, held.n_predictions, n_missing),
    ]
    if not questions.has_open_problem(session, project.id, *questions.QUESTIONS):
        faults += _of_labels(project, champion)  # else the question says it
    return faults


def _n_missing(session: Session, champion: VersionRow | None, held: Mapping[str, int]) -> int:
    """How many predictions of the version Label Studio has lost; below 0: holds more than known."""
    if champion is None or champion.published_at is None:
        return 0
    return predictions.count_held(session, champion.id) - held.get(champion.name, 0)


def faults_of_backend(
    project_id: int,
    backends: Iterable[BackendInfo],
    webhooks: Iterable[WebhookInfo],
    settings: Settings,
) -> list[Fault]:
    """What is wrong with backend and webhook of a project, connected or not."""
    connect = f"nnloop connect {project_id}"
    faults: list[Fault] = []
    urls = [b.url for b in backends if settings.service_url == b.url or b.title == TITLE]
    elsewhere = next((url for url in urls if is_of_another(url, webhooks, settings)), "")
    if urls and settings.service_url not in urls:
        return [_elsewhere(project_id, urls[0], elsewhere, settings)]
    if not urls:
        faults.append(
            Fault(
                "backend_missing",
                "The ML backend of nnloop was taken out of the project: Label Studio asks for no "
                "predictions.",
                f"Put it in again: {connect}",
            )
        )
    ours = [hook for hook in webhooks if hook.url.rstrip("/") == webhook_url(settings)]
    logged_in = [hook for hook in ours if hook.headers.items() >= webhook_headers(settings).items()]
    if not ours:
        fault = "was deleted"
    elif not logged_in:
        fault = "lacks the header that logs it in"
    elif not any(hook.is_active and hook.is_complete for hook in logged_in):
        fault = "is switched off, or sends only some actions"
    else:
        return faults
    faults.append(
        Fault(
            "webhook",
            f"The webhook to nnloop {fault}: changes are found by the clock only, every "
            f"{settings.sync_interval_s:g} s.",
            f"Mend it: {connect}",
        )
    )
    return faults


def _elsewhere(project_id: int, other_url: str, elsewhere: str, settings: Settings) -> Fault:
    connect = f"nnloop connect {project_id}"
    if elsewhere:
        return Fault(
            "other_nnloop",
            f"The nnloop at {elsewhere} has connected the project too: Label Studio asks that one "
            "for predictions, and reports to it. Two that push disturb each other.",
            f"Take it back: {connect}; or leave it to the other: nnloop disconnect {project_id}",
        )
    return Fault(
        "backend_moved",
        f"Label Studio asks {other_url} for predictions, but nnloop is at {settings.service_url}.",
        f"Tell it: {connect}",
    )


def _of_project(
    project: ProjectRow,
    info: ProjectInfo,
    champion: VersionRow | None,
    held: Mapping[str, int],
) -> list[Fault]:
    faults = []
    # With every task labelled there may be none, and Label Studio refuses such a version.
    is_shown = champion is not None and champion.published_at and held.get(champion.name)
    if champion is not None and is_shown and info.model_version != champion.name:
        faults.append(
            Fault(
                "model_version",
                f"Label Studio shows the predictions of {info.model_version or 'no version'!r}, "
                f"but {champion.name!r} serves: somebody changed the project's model version.",
                f"Set it back: nnloop publish {project.id}",
            )
        )
    if info.sampling != UNCERTAINTY_SAMPLING:
        faults.append(
            Fault(
                "sampling",
                f"The project's task sampling is {info.sampling!r}: annotators do not get the most "
                "uncertain task next.",
                f"Set it back: nnloop connect {project.id}",
            )
        )
    return faults


def _of_predictions(
    project: ProjectRow, champion: VersionRow | None, held: Mapping[str, int], n_missing: int
) -> list[Fault]:
    if champion is None or n_missing <= 0:
        return []
    n_pushed = n_missing + held.get(champion.name, 0)
    return [
        Fault(
            "predictions_missing",
            f"Label Studio has lost {n_missing} of the {n_pushed} predictions of {champion.name}: "
            "somebody deleted them there.",
            f"Push them again: nnloop publish {project.id}",
        )
    ]


def _of_sparse_labels(project: ProjectRow) -> Fault | None:
    """What is wrong where the interface can be used, but lacks what the settings name."""
    try:
        interface_of(project)
    except LabelConfigError:
        return None
    try:
        label_config_of(project, project.settings)
    except LabelConfigError as error:
        return Fault("label_config", str(error), error.remedy)
    return None


def _of_labels(project: ProjectRow, champion: VersionRow | None) -> list[Fault]:
    now = class_values_of(project)
    if not now and (fault := _of_sparse_labels(project)) is not None:
        return [fault]
    if not now:
        return [
            Fault(
                "label_config",
                "The labelling interface has no control that nnloop can use any more.",
                "Correct it in Label Studio (Settings, Labeling Interface).",
            )
        ]
    if champion is None or champion.origin == VersionOrigin.IMPORTED:
        return []  # one trained elsewhere may know more classes, and fewer
    try:
        known = read_version(Path(champion.path)).class_values
    except PredictionError:
        return []  # its folder is gone: whoever predicts with it says so
    trained = [project.label_mapping.get(value, value) for value in known]
    gone = [value for value in trained if value not in now]
    new = [value for value in now if value not in trained]
    if not gone and not new:
        return []
    parts = [f"new is {value!r}" for value in new] + [f"gone is {value!r}" for value in gone]
    remedy = "The next training learns the labels as they are."
    if gone and new:
        remedy = (
            f"If that is a new name: nnloop labels {project.id} --map '{gone[0]}={new[0]}'. "
            f"Otherwise: {remedy[0].lower()}{remedy[1:]}"
        )
    return [
        Fault(
            "labels",
            f"The labels have changed since {champion.name} was trained: {', '.join(parts)}.",
            remedy,
        )
    ]
