"""Whether the webhook fires: Label Studio is made to, and what arrives is looked for."""

from __future__ import annotations

import time

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backend.doctor.check import Check, Finding, NotLookedError, fine, wrong
from backend.doctor.patient import Patient
from backend.store.models import InboxRow
from backend.store.projects import START_TRAINING
from domain.errors import LabelStudioError

UPDATED = "PROJECT_UPDATED"
"""What Label Studio reports after a project was changed, and also after it was changed in nothing.

A PATCH without a field has it report that, and changes nothing (measured with 1.23.2)."""

WAIT_S = 8.0
"""Label Studio sends it at once, or by a worker of its own where it has a Redis."""

_LOOK_S = 0.2


def fires(patient: Patient) -> Finding:
    """Has Label Studio report that nothing changed, and waits for it to arrive in the store."""
    project_id = patient.asked_project
    with patient.store.read() as session:
        before = session.scalar(select(func.max(InboxRow.id))) or 0
    began = time.monotonic()
    try:
        patient.client.update_project(project_id)
    except LabelStudioError as error:
        raise NotLookedError(
            f"{_last(patient)}; Label Studio could not be asked: {error}"
        ) from None
    while time.monotonic() - began < WAIT_S:
        with patient.store.read() as session:
            if _has_come(session, project_id, before):
                return fine(f"it fired, and arrived after {time.monotonic() - began:.1f} s")
        time.sleep(_LOOK_S)
    url = patient.settings.service_url
    fix = (
        f"On Label Studio's machine or in its container try: curl {url}/health; where its log says "
        "that a private address is refused, start it with SSRF_PROTECTION_ENABLED=false "
        "ML_BLOCK_LOCAL_IP=false; where it answers late, see the load of nnloop's machine"
    )
    if "reached" not in patient.there:
        fix = "What lets Label Studio reach nnloop (above) lets its webhook arrive, too"
    return wrong(
        f"Label Studio was made to report to nnloop, and nothing came within {WAIT_S:g} s "
        f"({_last(patient)}). Changes are found by the clock only, every "
        f"{patient.settings.sync_interval_s:g} s.",
        fix,
    )


def _has_come(session: Session, project_id: int, before: int) -> bool:
    query = select(InboxRow.id).where(
        InboxRow.id > before, InboxRow.project_id == project_id, InboxRow.action == UPDATED
    )
    return session.scalar(query.limit(1)) is not None


def _last(patient: Patient) -> str:
    """When the last one came, in words."""
    with patient.store.read() as session:
        query = select(func.max(InboxRow.received_at)).where(
            InboxRow.project_id == patient.asked_project, InboxRow.action != START_TRAINING
        )
        at = session.scalar(query)
    if at is None:
        return "none is known to have come"
    return f"the last one came {(time.time() - at) / 60:.0f} min ago"


FIRING = Check(
    "webhook_fires",
    "Does the webhook fire, and arrive?",
    fires,
    ("project", "connected", "store", "webhook"),
    deadline_s=WAIT_S + 12.0,
)
