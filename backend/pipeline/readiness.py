"""Whether nnloop can work at this moment, and if not, why: for programs that watch it."""

from __future__ import annotations

import shutil

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from backend.pipeline.basis.context import AppContext
from backend.pipeline.status import service_report

LEAST_FREE_BYTES = 2_000_000_000
"""Cases, checkpoints and logs of a first run of five folds of nnU-Net's default network (268 MB a
checkpoint) fit into this."""


def why_not_ready(context: AppContext) -> list[str]:
    """Sentences about what keeps nnloop from its work; empty when nothing does. Holds no secret.

    Label Studio is not asked: a project whose Label Studio is away says so in `nnloop status`.
    """
    reasons = []
    try:
        with context.store.read() as session:
            session.execute(text("SELECT 1"))
    except SQLAlchemyError as error:
        reasons.append(f"The store does not answer ({type(error).__name__}).")
    service = service_report(context)
    if service.error:
        reasons.append(service.error)
    else:
        reasons += [f"No worker does {role!r}." for role in service.missing_roles]
    try:
        free = shutil.disk_usage(context.settings.data_dir).free
    except OSError as error:
        reasons.append(f"The data folder can't be used: {error.strerror}.")
    else:
        if free < LEAST_FREE_BYTES:
            reasons.append(
                f"{free / 1e9:.1f} GB are free in the data folder, a training needs "
                f"{LEAST_FREE_BYTES / 1e9:.0f} GB."
            )
    return reasons
