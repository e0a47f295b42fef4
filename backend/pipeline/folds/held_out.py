"""Whether weights have seen what a fold holds out."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from backend.pipeline.basis.lineage import GroupsNow
from backend.store.models import RunRow
from backend.store.training import runs
from domain.text import counted
from training.versions.manifests import SeenCase


def why_unfit(
    session: Session, run: RunRow, fold: int, name: str, seen: Sequence[SeenCase]
) -> str | None:
    """Why a fold of a run may not start from weights that have seen some cases.

    What can't be told counts as seen.

    Args:
        session: Of the store.
        run: With its manifest.
        fold: One of its folds.
        name: The version whose weights these are.
        seen: All they were trained on, back to fresh ones.

    Returns:
        Half a sentence; None where it may.
    """
    manifest = runs.manifest_of(run)
    names = GroupsNow.by(session, run.project_id, manifest).of(seen)
    if not names.are_known:
        return (
            f"{name}, or a version before it, has seen tasks that are gone, and nobody can tell "
            "their groups"
        )
    held_out = [e for e in manifest.entries if manifest.n_folds > 1 and e.fold == fold]
    # Nothing is held out by the only fold of a set with one group.
    n_seen = len(names.seen(seen).seen_of(held_out, names.groups))
    if not n_seen:
        return None
    return (
        f"{name}, or a version before it, has seen {n_seen} of "
        f"{counted(len(held_out), 'case')} held out, or others of their groups"
    )
