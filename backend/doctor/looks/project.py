"""A project's place in Label Studio: backend, webhook, order of the tasks, served version."""

from __future__ import annotations

import ipaddress
import re
import socket
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from backend.doctor.check import Check, Finding, NotLookedError, fine, note, wrong
from backend.doctor.looks.firing import FIRING
from backend.doctor.patient import Patient
from backend.pipeline.connection.connect import set_up
from backend.pipeline.predictions.held import held_of
from backend.pipeline.sync import trigger
from backend.pipeline.sync.drift import (
    faults_of,
    faults_of_backend,
    read_connection,
    require_same,
    webhook_headers,
    webhook_url,
)
from backend.queue import JobName
from backend.store import projects
from backend.store.models import ProjectRow
from backend.store.projects import CONNECTION, GONE, LEAVING, REPLACED, Fault
from backend.store.tasks import predictions
from backend.store.training import runs, versions
from domain.errors import LabelStudioAuthError, MissingError, ProjectGoneError
from domain.text import counted

_OF_BACKEND = ("backend_missing", "backend_moved", "other_nnloop")
_BEFORE_COMMAND = re.compile(r"^[\w ]{1,24}: (?=nnloop )")
PUSHED_WITHIN_S = 300.0
"""A version's first predictions are in Label Studio much sooner."""

LOCAL = "SSRF_PROTECTION_ENABLED=false ML_BLOCK_LOCAL_IP=false"
"""Settings of Label Studio under which it calls private addresses; both are needed."""


def project(patient: Patient) -> Finding:
    """Whether Label Studio has the project, and it is the one that was connected."""
    project_id = patient.asked_project
    try:
        patient.info = patient.client.project(project_id)
    except MissingError:
        patient.info = None
    except LabelStudioAuthError as error:
        return wrong(
            f"The key's user may not see project {project_id}: {error}",
            "Make that user a member of the project, or take another user's key: "
            "LABEL_STUDIO_API_KEY",
        )
    info = patient.info
    row = _row(patient)
    if row is not None:
        try:
            require_same(row, info)
        except ProjectGoneError as error:
            patient.info = None
            return wrong(str(error), error.remedy)
    if info is None:
        return wrong(
            f"Label Studio has no project {project_id}, or its key may not see it.",
            "Name a project by its id or title, as in the address /projects/ID/ of its page",
        )
    if not info.task_number:
        return note(f"{info.title!r} has no tasks.", "Import images in Label Studio (Import)")
    return fine(f"{info.title!r}, {counted(info.task_number, 'task')}")


def connected(patient: Patient) -> Finding:
    """Whether nnloop knows the project, and works on it."""
    project_id = patient.asked_project
    row = _row(patient)
    if row is None:
        return wrong("nnloop does not know the project.", f"nnloop connect {project_id}")
    with patient.store.read() as session:
        halting = [
            problem
            for problem in projects.open_problems(session, project_id)
            if problem.stage == CONNECTION and problem.reason in (GONE, REPLACED, LEAVING)
        ]
    if halting:
        return wrong(f"It stands still: {halting[0].message}", halting[0].remedy)
    return fine("it is connected")


def backend(patient: Patient) -> Finding:
    """Whether Label Studio asks this nnloop for predictions, and reaches it."""
    project_id, settings = patient.asked_project, patient.settings
    patient.connection = held = read_connection(patient.client, project_id)
    patient.there.add("held")
    mend = _mend(patient, f"Registered {settings.service_url} as ML backend, with its webhook.")
    for fault in faults_of_backend(project_id, held.backends, held.webhooks, settings):
        if fault.reason == "backend_missing" and _row(patient) is None:
            return wrong(  # nobody has taken out what was never there
                "The project has no ML backend of nnloop: Label Studio asks for no predictions.",
                f"nnloop connect {project_id}",
            )
        if fault.reason in _OF_BACKEND:
            # What another nnloop has is a person's to decide.
            return _as_finding(fault, None if fault.reason == "other_nnloop" else mend)
    ours = [one for one in held.backends if one.url == settings.service_url]
    if len(ours) > 1:
        return wrong(
            f"{len(ours)} backends of the project are this nnloop: Label Studio asks it as often.",
            f"nnloop connect {project_id}",
            mend,
        )
    if ours and ours[0].is_connected:
        patient.there.add("reached")
        return fine(f"Label Studio reaches nnloop at {settings.service_url}")
    said = f" ({ours[0].error_message.strip()})" if ours and ours[0].error_message else ""
    if "service" not in patient.there:
        return wrong(
            f"Label Studio does not reach nnloop at {settings.service_url}{said}.",
            "Start nnloop's web service: nnloop up (see the check 'service')",
        )
    return wrong(
        f"Label Studio does not reach nnloop at {settings.service_url}{said}, which answers from "
        "here.",
        f"{_private(settings.service_url)}On Label Studio's machine or in its container try: curl "
        f"{settings.service_url}/health; then: nnloop connect {project_id}",
        mend,
    )


def webhook(patient: Patient) -> Finding:
    """Whether there is one webhook to nnloop, with its header, for all changes."""
    project_id, settings = patient.asked_project, patient.settings
    held, client = patient.held, patient.client
    url = webhook_url(settings)

    def mend() -> str:
        client.ensure_webhook(project_id, url, webhook_headers(settings))
        patient.connection = read_connection(client, project_id)
        return f"Made the webhook to {url} the only one, with its header, for all changes."

    is_known = _row(patient) is not None
    may = mend if is_known else None
    faults = faults_of_backend(project_id, held.backends, held.webhooks, settings)
    if any(fault.reason == "other_nnloop" for fault in faults):
        raise NotLookedError("the project is another nnloop's (see the check 'backend')")
    ours = [hook for hook in held.webhooks if hook.url.rstrip("/") == url]
    for fault in faults:
        if fault.reason == "webhook" and (ours or is_known):
            return _as_finding(fault, may)
    if not ours:  # the backend is elsewhere, and so is its webhook; or there never was one
        return wrong(f"There is no webhook to {url}.", f"nnloop connect {project_id}", may)
    if len(ours) > 1:
        return wrong(
            f"{len(ours)} webhooks go to {url}: each change is reported as often, and the "
            "annotator waits for all.",
            f"nnloop connect {project_id}",
            may,
        )
    patient.there.add("webhook")
    return fine(f"one to {url}, with its header")


def sampling(patient: Patient) -> Finding:
    """Whether Label Studio serves the most uncertain task first."""
    project_id, client = patient.asked_project, patient.client

    def mend() -> str:
        patient.info = client.set_sampling_uncertainty(project_id)
        return "Set the project's sampling to uncertainty."

    for fault in _faults(patient, "sampling"):
        return _as_finding(fault, mend)
    return fine(patient.project_info.sampling)


def served(patient: Patient) -> list[Finding]:
    """Whether a version serves, Label Studio has its predictions, and shows them."""
    project_id, client, queue = patient.asked_project, patient.client, patient.queue
    with patient.store.read() as session:
        champion = versions.champion(session, project_id)
        waits = trigger.evaluate(session, project_id).reason
        n_unscored = n_failed = n_waiting = 0
        if champion is not None:
            n_waiting = predictions.count_unpublished(session, champion.id)
            n_unscored = predictions.count_unscored(session, project_id, champion.id)
            n_failed = predictions.count_failed(session, project_id, champion.id)
            held = held_of(session, project_id, champion)
        is_active = runs.active_run(session, project_id) is not None
    if champion is None:
        doing = "a training is under way: nnloop status" if is_active else f"{waits}".rstrip(".")
        return [note(f"No version serves yet, so annotators see no predictions ({doing}).")]

    def publish() -> str:
        queue.ensure(JobName.PUBLISH, project_id)
        return "Asked for the predictions to be pushed; a worker does it within a minute."

    def show() -> str:
        patient.info = client.set_model_version(project_id, champion.name)
        return f"Made {champion.name} the project's model version."

    found = [_as_finding(fault, show) for fault in _faults(patient, "model_version")]
    found += [_as_finding(fault, publish) for fault in _faults(patient, "predictions_missing")]
    n_held = patient.held.n_predictions.get(champion.name, 0)
    # Some that are held leave others to be seen; without any, annotators see none at all.
    found += [(note if n_held else wrong)(message, remedy) for message, remedy in held]
    age = time.time() - (champion.promoted_at or champion.created_at)
    if n_waiting and not n_held and age > PUSHED_WITHIN_S:
        found.append(
            wrong(
                f"{champion.name} serves for {age / 60:.0f} min, and Label Studio has none of its "
                f"{counted(n_waiting, 'prediction')}.",
                f"nnloop publish {project_id}; if that fails, see what failed: nnloop jobs",
                publish,
            )
        )
    if n_failed:
        found.append(
            note(
                f"{counted(n_failed, 'task')} could not be predicted.",
                f"See why (nnloop status {project_id} --problems), mend it, then: "
                f"nnloop score {project_id} --retry",
            )
        )
    if found:
        return found
    more = f", {counted(n_unscored, 'task')} still to be predicted" if n_unscored else ""
    return [fine(f"{champion.name}, {counted(n_held, 'prediction')} in Label Studio{more}")]


def _row(patient: Patient) -> ProjectRow | None:
    if "store" not in patient.there:
        return None
    with patient.store.read() as session:
        return session.get(ProjectRow, patient.asked_project)


def _faults(patient: Patient, *reasons: str) -> list[Fault]:
    """What drift finds of the project, of some reasons."""
    with patient.store.read() as session:
        row = patient.row(session)
        found = faults_of(session, row, patient.project_info, patient.held, patient.settings)
    return [fault for fault in found if fault.reason in reasons]


def _mend(patient: Patient, done: str) -> Callable[[], str] | None:
    if _row(patient) is None:
        return None

    def mend() -> str:
        set_up(patient.context, patient.asked_project)
        return done

    return mend


def _as_finding(fault: Fault, mend: Callable[[], str] | None = None) -> Finding:
    # Drift says `Mend it: nnloop connect 3`; under "Fix" the command is enough.
    return wrong(fault.message, _BEFORE_COMMAND.sub("", fault.remedy), mend)


def _private(url: str) -> str:
    """What to do first where Label Studio may refuse the address because it is a private one."""
    try:
        rows = socket.getaddrinfo(urlsplit(url).hostname, None)
        is_private = any(not ipaddress.ip_address(row[4][0]).is_global for row in rows)
    except (OSError, ValueError):
        is_private = True  # a name that only Label Studio's network knows
    if not is_private:
        return ""
    return f"Label Studio refuses private addresses unless it is started with {LOCAL}. "


CHECKS = (
    Check(
        "project",
        "Does Label Studio have the project?",
        project,
        ("label_studio",),
        "project",
    ),
    Check("connected", "Is it connected?", connected, ("store",), "connected"),
    Check(
        "backend",
        "Does Label Studio reach nnloop?",
        backend,
        ("project", "folder"),
        deadline_s=30.0,
    ),
    Check("webhook", "Is there a webhook?", webhook, ("project", "held")),
    FIRING,
    Check(
        "sampling",
        "Do annotators get the most uncertain task first?",
        sampling,
        ("project", "connected", "held"),
    ),
    Check(
        "predictions",
        "Do annotators get predictions?",
        served,
        ("project", "connected", "held"),
        deadline_s=30.0,
    ),
)
