"""Label Studio from here: its address, the key and what it may do."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

from backend.doctor.check import Check, Finding, fine, note, wrong
from backend.doctor.looks.services import host_found, in_container, is_this_machine
from backend.doctor.looks.versions import OF_LABEL_STUDIO
from backend.doctor.patient import Patient
from backend.label_studio.login import expires_at, has_expired, is_personal
from domain.errors import LabelStudioAuthError, LabelStudioError, NnloopError, SettingsError
from domain.text import counted

SOON_S = 14 * 86_400.0
"""A key that expires within this time is told."""

_NEW_KEY = "Make a personal access token in Label Studio (Account & Settings): LABEL_STUDIO_API_KEY"
_LOGIN = "/user/login"


def reach(patient: Patient) -> Finding:
    """Whether Label Studio answers at its address."""
    settings = patient.settings
    try:
        settings.require_label_studio()
        is_up = patient.client.health()
    except SettingsError as error:
        example = "LABEL_STUDIO_URL=http://localhost:8080 LABEL_STUDIO_API_KEY=TOKEN"
        return wrong(str(error), f"{example}, with a token of Label Studio's Account page")
    except LabelStudioAuthError as error:
        if has_expired(settings.label_studio_api_key.get_secret_value().strip()):
            return wrong(str(error), error.remedy)  # refused before anything was sent
        return fine(f"it answers at {settings.label_studio_url}")  # what it says is of the key
    except LabelStudioError as error:
        return _not_there(patient, error)
    if not is_up:
        return wrong(
            f"What answers at {settings.label_studio_url} does not say that it is up.",
            "See the log of Label Studio",
        )
    return fine(f"it answers at {settings.label_studio_url}")


def _not_there(patient: Patient, error: LabelStudioError) -> Finding:
    url = patient.settings.label_studio_url
    parts = urlsplit(url)
    if not host_found(url):
        hint = (
            "Name it as this machine knows it: LABEL_STUDIO_URL. Names of docker-compose.yml "
            "(label-studio) are known in its containers alone: docker compose exec web nnloop "
            "doctor"
        )
        return wrong(f"This machine knows no host {parts.hostname!r} (LABEL_STUDIO_URL).", hint)
    is_refused = "can't be reached" in str(error)
    if is_refused and in_container() and is_this_machine(parts.hostname):
        return wrong(
            f"{str(error).rstrip('.')}: in a container that address is the container itself.",
            "Start Label Studio there; where it is in another container or on another machine: "
            "LABEL_STUDIO_URL=http://label-studio:8080",
        )
    has_answered = error.__cause__ is None  # else the connection failed
    if has_answered and (prefix := _prefix(patient)):
        return wrong(
            f"Label Studio is not at {url}, but behind a path there.",
            f"LABEL_STUDIO_URL={parts.scheme}://{parts.netloc}{prefix}",
        )
    return wrong(str(error), error.remedy or "Start it, or correct LABEL_STUDIO_URL")


def _prefix(patient: Patient) -> str:
    """The path behind which Label Studio is, where its front page leads there; else ""."""
    try:
        home = urlsplit(patient.client.home())
    except NnloopError:
        return ""
    own = urlsplit(patient.settings.label_studio_url)
    before, found, _ = home.path.partition(_LOGIN)
    is_other = before.rstrip("/") != own.path.rstrip("/")
    return before.rstrip("/") if found and is_other and home.netloc == own.netloc else ""


def key(patient: Patient) -> Finding:
    """Whether the key is taken, of which kind it is, and how long it lasts."""
    api_key = patient.settings.label_studio_api_key.get_secret_value().strip()
    kind = "personal access token" if is_personal(api_key) else "legacy token"
    try:
        user = patient.client.whoami()
    except LabelStudioAuthError as error:
        if kind == "legacy token" and "legacy" in str(error).lower():
            return wrong(
                "Legacy tokens are switched off in Label Studio, and LABEL_STUDIO_API_KEY is one.",
                f"{_NEW_KEY}; or switch them on: Organization, API Tokens Settings, Legacy Tokens",
            )
        # No colon after `token`: what follows one would be taken for a token, and hidden.
        return wrong(f"Label Studio refuses the {kind}. {error}", f"{_NEW_KEY}; then: nnloop up")
    left = (expires_at(api_key) or float("inf")) - time.time()
    if left < SOON_S:
        days = f"{max(0.0, left) / 86_400:.0f} days"
        return note(f"The {kind} of user {user.id} expires in {days}.", _NEW_KEY)
    return fine(f"{kind} of user {user.id}")


def rights(patient: Patient) -> Finding:
    """Whether the key's user may read what nnloop reads of every project."""
    refused, n_projects = [], 0
    try:
        n_projects = len(patient.client.list_projects())
    except LabelStudioAuthError:
        refused.append("projects")
    try:
        patient.people = tuple(patient.client.list_users())
    except LabelStudioAuthError:
        refused.append("people")
    if refused:
        return wrong(
            f"The key's user may not read {' and '.join(refused)}.",
            "Make that user an owner or administrator in Label Studio (Organization), or take such "
            "a user's key: LABEL_STUDIO_API_KEY",
        )
    if not n_projects:
        return wrong(
            "The key's user sees no project.",
            "Make one, or make that user a member of the organisation, or take another user's key: "
            "LABEL_STUDIO_API_KEY",
        )
    return fine(f"sees {counted(n_projects, 'project')} and who labels")


CHECKS = (
    Check(
        "label_studio",
        "Does Label Studio answer?",
        reach,
        provides="label_studio_there",
        deadline_s=30.0,
        late="Label Studio does not answer",
        late_fix="See the log of Label Studio, or correct LABEL_STUDIO_URL",
    ),
    Check("key", "Does it take the key?", key, ("label_studio_there",), "label_studio"),
    Check("rights_of_key", "May the key's user do what is needed?", rights, ("label_studio",)),
    *OF_LABEL_STUDIO,
)
