"""Tables of the store, for SQLite and PostgreSQL alike.

Times are seconds since the epoch (UTC). Ids of projects, tasks and annotations are Label Studio's.
Rows that Label Studio no longer has are kept with ``removed_at``: a manifest may name them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from active_learning.calibration import Calibration
from active_learning.effort import Effort
from active_learning.measures import ImageMeasures
from backend.settings import ProjectSettings, RunSettings
from backend.store import clock
from backend.store.document_column import DocumentColumn
from domain.annotation import AnnotatedTask, LeftOut
from domain.doubts import NamedDoubt
from domain.states import FoldStatus, RunControl, RunStatus, TaskState, VersionOrigin, VersionStatus
from training.evaluation import ClassDice
from training.folds.spec import FoldResult
from training.versions.manifests import EnsembleManifest, RunManifest
from training.versions.metrics import VersionMetrics

JsonDict = dict[str, Any]
Regions = list[dict[str, Any]]
"""Label Studio's own: a task's data, and the ``result`` of an annotation or a prediction."""

_DOCUMENTS: tuple[Any, ...] = (
    ProjectSettings,
    RunSettings,
    RunManifest,
    EnsembleManifest,
    FoldResult,
    VersionMetrics,
    ImageMeasures,
    Calibration,
    ClassDice,
    dict[str, str],
    dict[str, float],
    dict[str, Effort],
    dict[int, AnnotatedTask],
    tuple[LeftOut, ...],
    tuple[tuple[str, str], ...],
    tuple[NamedDoubt, ...],
    list[int],
)
"""What JSON columns hold of nnloop's own, each read and written by ``DocumentColumn``."""


class Base(DeclarativeBase):
    """Declarative base; named constraints, so that migrations can change them anywhere."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012
        JsonDict: JSON,
        Regions: JSON,
        float: Float,
        # Label Studio counts annotations and predictions beyond 2^31. SQLite's has 64 bits anyway,
        # and numbers rows by itself only where it is called so.
        int: BigInteger().with_variant(Integer, "sqlite"),
        **{kind: DocumentColumn(kind) for kind in _DOCUMENTS},
    }


class ProjectRow(Base):
    """A connected Label Studio project.

    ``champion_id`` is the version that serves. ``n_channels`` is 0 until the first run has seen
    the images. ``created_at`` is Label Studio's own text: another one under the same id is another
    project. ``label_mapping`` is {old class name: new one}, the renames that people have told of
    ("" = its regions count as nothing); ``labels_apart`` are [gone name, new name] that they said
    are no rename. ``number_taken`` is the highest number of a version that Label Studio knows and
    this store does not; 0 without one.
    """

    __tablename__ = "project"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str] = mapped_column(Text, default="")
    label_config: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[str] = mapped_column(String(40), default="")
    label_mapping: Mapped[dict[str, str]] = mapped_column(default=dict)
    labels_apart: Mapped[tuple[tuple[str, str], ...]] = mapped_column(default=())
    settings: Mapped[ProjectSettings] = mapped_column(default=ProjectSettings)
    champion_id: Mapped[int | None] = mapped_column(default=None)
    n_channels: Mapped[int] = mapped_column(default=0)
    number_taken: Mapped[int] = mapped_column(default=0)
    connected_at: Mapped[float] = mapped_column(default=clock.now)
    synced_at: Mapped[float | None] = mapped_column(default=None)
    sync_asked_at: Mapped[float | None] = mapped_column(default=None)
    error: Mapped[str] = mapped_column(Text, default="")


class InboxRow(Base):
    """One webhook: a hint that something changed. Never holds the raw body (it carries tokens).

    ``overrides`` are the settings a person gave with a request for a training; ``decision`` says
    what nnloop did because of it, "" as long as it is not handled.
    """

    __tablename__ = "inbox"
    __table_args__ = (
        Index("ix_inbox_open", "handled_at", "project_id"),
        Index("ix_inbox_project", "project_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int]
    action: Mapped[str] = mapped_column(String(64))
    task_ids: Mapped[list[int]] = mapped_column(default=list)
    overrides: Mapped[JsonDict] = mapped_column(default=dict)
    received_at: Mapped[float] = mapped_column(default=clock.now)
    handled_at: Mapped[float | None] = mapped_column(default=None)
    decision: Mapped[str] = mapped_column(Text, default="")


class TaskRow(Base):
    """Snapshot of one task.

    ``source`` (``domain.case.source_of``) is its identity: Label Studio gives the ids of deleted
    tasks to new ones. ``image_hash`` is over the bytes of its images and ``image_tag`` what their
    server said of them (ETag, Last-Modified, size) when they were last fetched; "" before.
    ``image_checked_at`` is when that was last seen to be so. ``to_withdraw``: Label Studio may hold
    predictions of what the task was before; nothing new is pushed until those are gone.
    """

    __tablename__ = "task"
    __table_args__ = (Index("ix_task_pool", "project_id", "state", "removed_at"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    project_id: Mapped[int]
    data: Mapped[JsonDict] = mapped_column(default=dict)
    created_at: Mapped[str] = mapped_column(String(40), default="")
    source: Mapped[str] = mapped_column(String(64), default="")
    image_hash: Mapped[str] = mapped_column(String(64), default="")
    image_tag: Mapped[str] = mapped_column(Text, default="")
    image_checked_at: Mapped[float] = mapped_column(default=0.0)
    to_withdraw: Mapped[bool] = mapped_column(default=False)
    state: Mapped[TaskState] = mapped_column(String(16), default=TaskState.UNLABELLED)
    removed_at: Mapped[float | None] = mapped_column(default=None)


class AnnotationRow(Base):
    """Snapshot of one annotation. ``content_hash`` is over its regions: another one, another label.

    ``result_hash`` is over them as Label Studio wrote them last, which need not draw anything else
    (``converters.label_studio.same_label``); "" where that was never looked at: the same.
    ``parent_prediction`` stays when Label Studio forgets it, as it does with the prediction.
    """

    __tablename__ = "annotation"
    __table_args__ = (Index("ix_annotation_task", "project_id", "task_id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    task_id: Mapped[int]
    project_id: Mapped[int]
    result: Mapped[Regions] = mapped_column(default=list)
    content_hash: Mapped[str] = mapped_column(String(64))
    result_hash: Mapped[str] = mapped_column(String(64), default="")
    was_cancelled: Mapped[bool] = mapped_column(default=False)
    ground_truth: Mapped[bool] = mapped_column(default=False)
    completed_by: Mapped[int | None] = mapped_column(default=None)
    created_at: Mapped[str] = mapped_column(String(40), default="")
    updated_at: Mapped[str] = mapped_column(String(40), default="")
    lead_time_s: Mapped[float | None] = mapped_column(default=None)
    updated_by: Mapped[int | None] = mapped_column(default=None)
    parent_prediction: Mapped[int | None] = mapped_column(default=None)
    removed_at: Mapped[float | None] = mapped_column(default=None)


class CaseRow(Base):
    """A case whose files are written.

    ``source_hash`` is over what the files are made from (annotation, image address, classes,
    channels): while it stays, nothing is fetched or drawn again. ``files_hash`` is over the pixels,
    ``image_hash`` over the bytes of the images as they were fetched.
    ``notes`` are the regions left out or drawn with a remark, for the next manifest.
    ``fingerprint`` says what its image looks like (``converters.images.likeness``), ``alike`` in
    which set of cases that look alike it is: "" in none, None as long as that was not looked up.
    """

    __tablename__ = "case"

    project_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    case_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    task_id: Mapped[int]
    source_hash: Mapped[str] = mapped_column(String(64))
    files_hash: Mapped[str] = mapped_column(String(64))
    image_hash: Mapped[str] = mapped_column(String(64), default="")
    notes: Mapped[tuple[LeftOut, ...]] = mapped_column(default=())
    fingerprint: Mapped[str] = mapped_column(String(64), default="")
    alike: Mapped[str | None] = mapped_column(String(64), default=None)


class GroupRow(Base):
    """The fold of one group of cases, for one number of folds. Written once, never changed."""

    __tablename__ = "group_fold"

    project_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n_folds: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    group: Mapped[str] = mapped_column(String(255), primary_key=True)
    fold: Mapped[int]


class RunRow(Base):
    """A TrainingRun. ``number`` counts within the project; ``seconds`` holds time per stage.

    ``candidates`` is what was annotated when it started, by task id, ``manifest`` what of that was
    trained on, None until its cases are prepared. A job that works on the run
    holds it until ``lease_until``; ``not_before`` delays a retry. ``control`` is what a person
    wants of it; ``note`` a sentence about what was done otherwise than asked.
    """

    __tablename__ = "training_run"
    __table_args__ = (UniqueConstraint("project_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int]
    number: Mapped[int]
    status: Mapped[RunStatus] = mapped_column(String(16), default=RunStatus.QUEUED)
    control: Mapped[RunControl] = mapped_column(String(16), default=RunControl.RUN)
    trigger: Mapped[str] = mapped_column(Text, default="")
    candidates: Mapped[dict[int, AnnotatedTask]] = mapped_column(default=dict)
    manifest: Mapped[RunManifest | None] = mapped_column(default=None)
    settings: Mapped[RunSettings] = mapped_column(default=RunSettings)
    seconds: Mapped[dict[str, float]] = mapped_column(default=dict)
    error: Mapped[str] = mapped_column(Text, default="")
    note: Mapped[str] = mapped_column(Text, default="")
    attempts: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[float] = mapped_column(default=0.0)
    not_before: Mapped[float] = mapped_column(default=0.0)
    created_at: Mapped[float] = mapped_column(default=clock.now)
    stage_started_at: Mapped[float] = mapped_column(default=clock.now)
    finished_at: Mapped[float | None] = mapped_column(default=None)


class FoldRow(Base):
    """One fold of a run: its progress, and its ``result`` once it has one.

    ``dice`` is nnU-Net's pseudo Dice, ``case_dice`` the mean full-image Dice of held-out cases;
    ``eta_s`` the seconds its training still takes as far as it knows.
    """

    __tablename__ = "fold_result"
    __table_args__ = (UniqueConstraint("run_id", "fold"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("training_run.id"))
    fold: Mapped[int]
    status: Mapped[FoldStatus] = mapped_column(String(16), default=FoldStatus.QUEUED)
    epoch: Mapped[int] = mapped_column(default=0)
    epochs: Mapped[int] = mapped_column(default=0)
    train_loss: Mapped[float | None] = mapped_column(default=None)
    val_loss: Mapped[float | None] = mapped_column(default=None)
    dice: Mapped[float | None] = mapped_column(default=None)
    case_dice: Mapped[float | None] = mapped_column(default=None)
    eta_s: Mapped[float | None] = mapped_column(default=None)
    device: Mapped[str] = mapped_column(String(32), default="")
    worker: Mapped[str] = mapped_column(String(128), default="")
    result: Mapped[FoldResult | None] = mapped_column(default=None)
    error: Mapped[str] = mapped_column(Text, default="")
    attempts: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[float] = mapped_column(default=0.0)
    started_at: Mapped[float | None] = mapped_column(default=None)
    finished_at: Mapped[float | None] = mapped_column(default=None)


class VersionRow(Base):
    """A ModelVersion. ``name`` is the string Label Studio sees as ``model_version``.

    A version trained elsewhere has no run, nor has an ensemble, whose ``manifest`` is of all its
    members (what another version was trained on is in its run). ``size_bytes`` is its folder's; a
    pruned version keeps its row (what it was, and what it was trained on) without its weights. A
    pinned one is never pruned. ``calibration`` makes its scores of what was measured; None before
    it was fitted.
    """

    __tablename__ = "model_version"
    __table_args__ = (UniqueConstraint("project_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int]
    run_id: Mapped[int | None] = mapped_column(ForeignKey("training_run.id"), default=None)
    origin: Mapped[VersionOrigin] = mapped_column(String(16), default=VersionOrigin.TRAINED)
    name: Mapped[str] = mapped_column(String(64))
    status: Mapped[VersionStatus] = mapped_column(String(16), default=VersionStatus.CHALLENGER)
    path: Mapped[str] = mapped_column(Text)
    metrics: Mapped[VersionMetrics] = mapped_column(default=VersionMetrics)
    manifest: Mapped[EnsembleManifest | None] = mapped_column(default=None)
    created_at: Mapped[float] = mapped_column(default=clock.now)
    promoted_at: Mapped[float | None] = mapped_column(default=None)
    published_at: Mapped[float | None] = mapped_column(default=None)
    size_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    is_pinned: Mapped[bool] = mapped_column(default=False)
    pruned_at: Mapped[float | None] = mapped_column(default=None)
    calibration: Mapped[Calibration | None] = mapped_column(default=None)


class PredictionRow(Base):
    """One version's answer for one task, as Label Studio gets it. Unique per task and version.

    ``source`` and ``image_hash`` are those of the task when it was made: once they differ from the
    task's, it is dead. ``error`` is set instead of a result when the task can't be predicted (image
    missing, ...); then ``attempts`` counts the tries and ``not_before`` delays the next one (None:
    it is not tried again by itself). ``held`` says why a prediction is not pushed; "" = it is.
    ``score`` is made of ``measures`` by the version's calibration, and 9 of 10 true qualities lie
    between ``score_low`` and ``score_high``.
    """

    __tablename__ = "prediction"
    __table_args__ = (
        UniqueConstraint("task_id", "version_id"),
        Index("ix_prediction_publish", "version_id", "published_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int]
    task_id: Mapped[int]
    version_id: Mapped[int] = mapped_column(ForeignKey("model_version.id"))
    score: Mapped[float] = mapped_column(default=0.0)
    score_low: Mapped[float | None] = mapped_column(default=None)
    score_high: Mapped[float | None] = mapped_column(default=None)
    measures: Mapped[ImageMeasures | None] = mapped_column(default=None)
    source: Mapped[str] = mapped_column(String(64), default="")
    image_hash: Mapped[str] = mapped_column(String(64), default="")
    result: Mapped[Regions] = mapped_column(default=list)
    error: Mapped[str] = mapped_column(Text, default="")
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[float | None] = mapped_column(default=None)
    held: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[float] = mapped_column(default=clock.now)
    published_at: Mapped[float | None] = mapped_column(default=None)


class ProblemRow(Base):
    """Something a person should know: which task or run, what was wrong, what to do."""

    __tablename__ = "problem"
    __table_args__ = (Index("ix_problem_open", "project_id", "resolved_at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int]
    task_id: Mapped[int | None] = mapped_column(default=None)
    run_id: Mapped[int | None] = mapped_column(default=None)
    stage: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(64))
    message: Mapped[str] = mapped_column(Text)
    remedy: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[float] = mapped_column(default=clock.now)
    resolved_at: Mapped[float | None] = mapped_column(default=None)


class TrialRow(Base):
    """A task that a worker is at this moment: fetching, decoding, drawing or predicting it.

    Written before the work, deleted after it. What is left of a worker that died says who was at
    work then: ``deaths`` counts that, ``worker`` is "" from then on. ``source`` is the task's.
    """

    __tablename__ = "trial"

    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    project_id: Mapped[int]
    source: Mapped[str] = mapped_column(String(64), default="")
    worker: Mapped[str] = mapped_column(String(128), default="")
    deaths: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[float] = mapped_column(default=clock.now)


class PauseRow(Base):
    """Work on a project as a whole that failed without a run, and when it is tried again."""

    __tablename__ = "pause"

    project_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    stage: Mapped[str] = mapped_column(String(16), primary_key=True)
    attempts: Mapped[int] = mapped_column(default=0)
    not_before: Mapped[float] = mapped_column(default=0.0)
