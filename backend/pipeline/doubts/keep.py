"""Keeps what the folds of a new version doubt of the labels that they have held out."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from active_learning.label_qa import DoubtedLabel, doubted_labels
from backend.store import projects
from backend.store.models import VersionRow
from backend.store.quality import doubts
from backend.store.quality.doubts import LabelDoubtRow
from backend.store.tasks import snapshots
from converters.bookkeeping.documents import read_document
from domain.annotation import AnnotatedTask
from domain.case import Manifest, ManifestEntry
from domain.doubts import Doubt, DoubtsPerCase, NamedDoubt
from domain.errors import DocumentError
from domain.gate_verdict import Verdict
from training.folds.spec import DOUBTS
from training.workspace import Workspace

logger = logging.getLogger(__name__)


MOST_WORSE = 0.05
"""A version that the gate refused, and that is worse than the one that serves by more Dice than
this, doubts nothing: of 10 labels that a training of 20 seconds doubted one was wrong, and it took
the place of three that all were."""


def may_doubt(verdict: Verdict | None) -> bool:
    """Whether a version that was judged so is good enough to doubt labels."""
    return (
        verdict is None
        or verdict.is_promoted
        or verdict.difference is None
        or verdict.difference >= -MOST_WORSE
    )


def read_doubts(workspace: Workspace, run: int, folds: Sequence[int]) -> DoubtsPerCase:
    """What folds of a run doubt; what can't be read is left out, and the log says so."""
    found: DoubtsPerCase = {}
    for fold in folds:
        path = workspace.fold_dir(str(run), fold) / DOUBTS
        try:
            found |= read_document(path, DoubtsPerCase)
        except (OSError, DocumentError) as error:
            logger.warning("Run %d, fold %d: its labels are not doubted: %s", run, fold, error)
    return found


def keep_doubts(
    session: Session,
    version: VersionRow,
    manifest: Manifest,
    candidates: Mapping[int, AnnotatedTask],
    found: DoubtsPerCase,
) -> None:
    """Puts the doubts of a new version in the place of those of the one before.

    What a person has found right stays so, and is not doubted again, as long as the label is the
    same. Nor is a label that is marked as ground truth, or that is another one by now.

    Args:
        session: Of the store; the version's row is in it.
        version: Newly trained.
        manifest: What it was trained on.
        candidates: The run's labels by task. The manifest's hashes won't do: they are of label
            maps, which settings shape as well.
        found: Case id -> what the fold that held it out doubts.
    """
    entries = {entry.case_id: entry for entry in manifest.entries}
    ranked = [one for one in doubted_labels(found) if one.is_doubtful and one.case_id in entries]
    before = doubts.doubts_of(session, version.project_id)
    policy = projects.get(session, version.project_id).settings.annotator_policy
    tasks = {entries[one.case_id].task_id for one in ranked} | {row.task_id for row in before}
    now = snapshots.labels_now(session, version.project_id, policy, tasks)
    checked = [r for r in before if r.checked_at is not None and r.is_of(now.get(r.task_id))]
    settled = {row.task_id for row in checked}
    rows: list[LabelDoubtRow] = []
    for one in ranked:
        entry = entries[one.case_id]
        label = now.get(entry.task_id)
        trained_on = candidates.get(entry.task_id)
        if trained_on is None or entry.task_id in settled:
            continue
        row = _row(version, entry, one, manifest.class_values)
        row.content_hash, row.place = trained_on.content_hash, len(rows) + 1
        if label is None or not row.is_of(label) or label.is_ground_truth:
            continue
        row.saved_at = label.saved_at
        rows.append(row)
    doubts.replace(session, version.project_id, rows, [row.id for row in checked])
    logger.info(
        "Project %d: %s doubts %d of %d labels.",
        version.project_id,
        version.name,
        len(rows),
        len(found),
    )


def _row(
    version: VersionRow, entry: ManifestEntry, one: DoubtedLabel, names: Sequence[str]
) -> LabelDoubtRow:
    return LabelDoubtRow(
        project_id=version.project_id,
        version_id=version.id,
        task_id=entry.task_id,
        source=entry.source,
        image_hash=entry.image_hash,
        saved_at="",
        rarity=one.rarity,
        doubts=tuple(_named(doubt, names) for doubt in (one.doubt, *one.others)),
    )


def _named(doubt: Doubt, names: Sequence[str]) -> NamedDoubt:
    by_integer: Mapping[int, str] = {0: "", **dict(enumerate(names, start=1))}
    return NamedDoubt(
        kind=doubt.kind,
        strength=round(doubt.strength, 4),
        label=by_integer[doubt.label],
        other=by_integer[doubt.other],
        box=doubt.box,
    )
