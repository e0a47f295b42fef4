"""Connects a Label Studio project: backend, webhook, sampling, annotators' tabs, settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from backend.credentials import login_of_project, service_credentials
from backend.label_studio import BackendInfo, ProjectInfo
from backend.pipeline.basis.annotations import label_config_with
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.preset import check_choices
from backend.pipeline.connection.checks import (
    check_annotators,
    check_channels,
    check_priority,
    group_warnings,
)
from backend.pipeline.connection.disconnect import end_run, forget
from backend.pipeline.doubts.tab import try_check
from backend.pipeline.labels import questions, republish
from backend.pipeline.queues.fill import try_fill
from backend.pipeline.queues.report import TabReport, tab_reports
from backend.pipeline.sync.drift import TITLE, go_on, require_same, webhook_headers, webhook_url
from backend.queue import JobName
from backend.settings import ProjectSettings, faults_of
from backend.store.models import ProjectRow
from backend.store.tasks import problems, readings
from converters.label_studio.config.controls import ring_openers
from converters.label_studio.config.sparse_labels import without_background
from domain.errors import LabelStudioError, ProjectGoneError, SettingsError, StackError
from domain.labels import LabelConfig
from domain.text import counted
from domain.unions import union_plan


@dataclass(frozen=True, slots=True)
class ConnectReport:
    """What ``connect`` set up.

    ``tabs`` are the annotators', ``done`` says what else it did, ``warnings`` what of the project
    will disappoint: a sentence each. ``is_to_be_read`` says that it has tasks, which the first
    reading will find.
    """

    project_id: int
    title: str
    classes: tuple[str, ...]
    settings: ProjectSettings
    was_known: bool
    tabs: tuple[TabReport, ...] = ()
    done: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    is_to_be_read: bool = False


def connect(
    context: AppContext,
    project: str | int,
    overrides: Mapping[str, Any],
    *,
    reset: Sequence[str] = (),
) -> ConnectReport:
    """Makes a project ready for the loop. Can be repeated; settings not given stay as they are.

    The web service must run: Label Studio calls it while the backend is registered. A project whose
    id belonged to one that was deleted starts afresh. When a step fails, the others are undone.

    Args:
        context: The process's context.
        project: Id or title.
        overrides: Fields of ProjectSettings to change.
        reset: Fields that go back to their defaults.

    Raises:
        LabelConfigError: The labelling interface has no control nnloop can use, or not with these
            channels.
        LabelStudioError: Label Studio refused a step, or does not reach the service.
        SettingsError: A setting can't be used.
        StackError: Redis does not answer.
        TrainingError: A run of the project that had the id is still at work.
    """
    client = context.label_studio
    info = client.find_project(project)
    with context.store.begin() as session:
        row = session.get(ProjectRow, info.id)
    is_replaced = row is not None and _is_other(row, info)
    before = row.settings.model_dump() if row is not None and not is_replaced else {}
    mapping = row.label_mapping if row is not None and not is_replaced else {}
    settings = _merged(_without(before, reset), overrides)
    config = label_config_with(info.label_config, settings, mapping)
    check_choices(settings, context.workspace(info.id))
    check_priority(settings, config)
    union_plan(config.group, settings.unions, settings.union_order)
    check_channels(client, info.id, settings, config)
    # Only who is named now: somebody who left later must not forbid other settings.
    check_annotators(client, overrides.get("annotators", ()))
    if not context.queue.ping():
        raise StackError(
            "Redis does not answer, so nothing would work on the project.",
            remedy="Start nnloop (nnloop up), or correct NNLOOP_REDIS_URL.",
        )
    done = end_run(context, info.id) if is_replaced else []
    with ExitStack() as undo:
        if row is None or is_replaced:
            undo.callback(_undo, context, info, client.list_backends(info.id))
        set_up(context, info.id)
        if is_replaced:
            assert row is not None  # noqa: S101 - as above
            done.append(f"The id belonged to {row.title!r}, which Label Studio has no more.")
            done += forget(context, info.id)
        elif row is None and context.workspace(info.id).folder.exists():
            # Of a project of which no row is left: its cases would be taken for this one's.
            done += forget(context, info.id)[:-1]
        _store(context, info, settings)
        undo.pop_all()
    try_fill(context, info.id)
    try_check(context, info.id)
    with suppress(StackError):  # the clock reads it too
        context.queue.ensure(JobName.SYNC, info.id)
    was_known = row is not None and not is_replaced
    return ConnectReport(
        project_id=info.id,
        title=info.title,
        classes=config.class_values,
        settings=settings,
        was_known=was_known,
        tabs=tab_reports(context, info.id),
        done=tuple(done),
        warnings=(*interface_warnings(config), *group_warnings(context, info.id, settings, config)),
        is_to_be_read=not was_known and info.task_number > 0,
    )


def interface_warnings(config: LabelConfig) -> Iterator[str]:
    """What the interface does to predictions."""
    if said := without_background(config.group):
        yield said
    for control, values in ring_openers(config.group).items():
        tag = "VectorLabels" if control.region_type == "vectorlabels" else "Vector"
        yield (
            f"Predictions of {questions.in_quotes(values)} go out as closed rings of the control "
            f'"{control.name}", and Label Studio opens them when a task is opened: they come back '
            f'as open lines. Add closable="true" to <{tag} name="{control.name}" ...> in the '
            "project's labelling interface (Settings, Labeling Interface)."
        )


def set_up(context: AppContext, project_id: int) -> None:
    """Makes backend, webhook and sampling in Label Studio what they should be."""
    client, settings = context.label_studio, context.settings
    login = login_of_project(service_credentials(settings), project_id)
    client.register_backend(project_id, settings.service_url, TITLE, login)
    client.ensure_webhook(project_id, webhook_url(settings), webhook_headers(settings))
    client.set_sampling_uncertainty(project_id)


def _undo(context: AppContext, before: ProjectInfo, backends: Sequence[BackendInfo]) -> None:
    """Takes out what a connect that failed has made; what was there before stays."""
    client, url = context.label_studio, context.settings.service_url
    if any(backend.url == url or backend.title == TITLE for backend in backends):
        return
    with suppress(LabelStudioError):
        client.remove_backend(before.id, url)
    with suppress(LabelStudioError):
        now = client.project(before.id)
        if now.sampling != before.sampling:
            client.update_project(before.id, sampling=before.sampling)
        if now.model_version != before.model_version:
            client.update_project(before.id, model_version=before.model_version)


def _store(context: AppContext, info: ProjectInfo, settings: ProjectSettings) -> None:
    with context.store.begin() as session:
        row = session.get(ProjectRow, info.id)
        if row is None:
            row = ProjectRow(id=info.id, label_config=info.label_config)
            session.add(row)
            session.flush()
        row.title = info.title
        questions.take_config(session, row, info.label_config)
        row.created_at = info.created_at or row.created_at
        if row.settings.channels != settings.channels:
            row.n_channels = 0  # other images may be grey again
        if row.settings.group_key != settings.group_key:
            problems.close_unprepared(session, info.id)  # the next training tells, if it must
        before, row.settings = row.settings, settings
        republish.publish_without_ignored(session, row, before)
        readings.doubt(session, info.id, "it was connected")
        go_on(session, info.id)


def _is_other(row: ProjectRow, info: ProjectInfo) -> bool:
    try:
        require_same(row, info)
    except ProjectGoneError:
        return True
    return False


def _without(stored: Mapping[str, Any], reset: Sequence[str]) -> dict[str, Any]:
    unknown = [name for name in reset if name not in ProjectSettings.model_fields]
    if unknown:
        raise SettingsError(
            f"There is no project setting {unknown[0]!r} to reset.",
            remedy=f"The settings are {', '.join(ProjectSettings.model_fields)}.",
        )
    return {name: value for name, value in stored.items() if name not in reset}


def _merged(stored: Mapping[str, Any], overrides: Mapping[str, Any]) -> ProjectSettings:
    try:
        return ProjectSettings.model_validate({**stored, **overrides})
    except ValidationError as error:
        raise SettingsError(
            f"{counted(error.error_count(), 'project setting')} can't be used: "
            f"{faults_of(error, with_values=True)}.",
            remedy="See `nnloop connect --help` and docs/settings.md.",
        ) from None
