"""Everything the store knows of a project, forgotten."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from backend.store.models import (
    AnnotationRow,
    CaseRow,
    FoldRow,
    GroupRow,
    InboxRow,
    PauseRow,
    PredictionRow,
    ProblemRow,
    ProjectRow,
    RunRow,
    TaskRow,
    TrialRow,
    VersionRow,
)
from backend.store.quality.doubts import CheckTabRow, LabelDoubtRow
from backend.store.quality.efforts import EffortRow
from backend.store.quality.pair_rows import HonestPairRow
from backend.store.tasks.elsewhere import ElsewhereRow
from backend.store.tasks.embeddings import EmbeddingRow
from backend.store.tasks.queues import QueueEntryRow, QueueTabRow
from backend.store.tasks.readings import ReadingRow
from backend.store.training.looks import CaseLookRow
from backend.store.training.notices import NoticeRow


def forget_project(session: Session, project_id: int) -> None:
    """Deletes every row of a project, itself included; no error when there is none."""
    versions = select(VersionRow.id).where(VersionRow.project_id == project_id)
    runs = select(RunRow.id).where(RunRow.project_id == project_id)
    # Before what they refer to.
    session.execute(delete(QueueEntryRow).where(QueueEntryRow.version_id.in_(versions)))
    session.execute(delete(LabelDoubtRow).where(LabelDoubtRow.version_id.in_(versions)))
    session.execute(delete(HonestPairRow).where(HonestPairRow.version_id.in_(versions)))
    session.execute(delete(PredictionRow).where(PredictionRow.version_id.in_(versions)))
    session.execute(delete(FoldRow).where(FoldRow.run_id.in_(runs)))
    for table in (
        QueueEntryRow,
        QueueTabRow,
        EffortRow,
        LabelDoubtRow,
        CheckTabRow,
        EmbeddingRow,
        ElsewhereRow,
        PredictionRow,
        VersionRow,
        RunRow,
        CaseRow,
        CaseLookRow,
        GroupRow,
        AnnotationRow,
        TaskRow,
        InboxRow,
        ProblemRow,
        NoticeRow,
        PauseRow,
        ReadingRow,
        TrialRow,
    ):
        session.execute(delete(table).where(table.project_id == project_id))
    session.execute(delete(ProjectRow).where(ProjectRow.id == project_id))
