"""Connects a Label Studio project: backend, webhook, sampling, Data Manager tab, settings."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from backend.credentials import service_credentials
from backend.label_studio import LabelStudioClient
from backend.pipeline import labels
from backend.pipeline.context import AppContext
from backend.pipeline.preset import check_choices
from backend.queue import JobName
from backend.settings import ProjectSettings, faults_of
from backend.store.models import ProjectRow
from converters.label_config import parse_label_config
from domain.errors import SettingsError
from domain.labels import LabelConfig, LabelNames

TITLE = "nnloop"
VIEW_TITLE = "Most uncertain first"


@dataclass(frozen=True, slots=True)
class ConnectReport:
    """What ``connect`` set up."""

    project_id: int
    title: str
    classes: tuple[str, ...]
    settings: ProjectSettings
    backend_url: str
    was_known: bool


def connect(
    context: AppContext,
    project: str | int,
    overrides: Mapping[str, Any],
    *,
    reset: Sequence[str] = (),
) -> ConnectReport:
    """Makes a project ready for the loop. Can be repeated; settings not given stay as they are.

    The web service must run: Label Studio calls it while the backend is registered.

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
    """
    client = context.label_studio
    info = client.find_project(project)
    with context.store.begin() as session:
        row = session.get(ProjectRow, info.id)
        before = row.settings if row else {}
        mapping = row.label_mapping if row else {}
    settings = _merged(_without(before, reset), overrides)
    config = parse_label_config(info.label_config, channels=settings.channels)
    config = LabelNames(mapping, config.class_values).applied_to(config)
    check_choices(settings, context.workspace(info.id))
    _check_priority(settings, config)
    _check_channels(client, info.id, settings, config)
    with context.store.begin() as session:
        row = session.get(ProjectRow, info.id)
        was_known = row is not None
        if row is None:
            row = ProjectRow(id=info.id, label_config=info.label_config)
            session.add(row)
            session.flush()
        row.title = info.title
        labels.take_config(session, row, info.label_config)
        row.settings = settings.model_dump(mode="json")
        if tuple(before.get("channels", ())) != settings.channels:
            row.n_channels = 0  # other images may be grey again
    user, password = service_credentials(context.settings)
    url = context.settings.service_url
    client.register_backend(info.id, url, TITLE, (user, password))
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    client.ensure_webhook(info.id, f"{url}/webhook", {"Authorization": f"Basic {token}"})
    client.set_sampling_uncertainty(info.id)
    client.ensure_uncertainty_view(info.id, VIEW_TITLE)
    context.queue.ensure(JobName.SYNC, info.id)
    return ConnectReport(info.id, info.title, config.class_values, settings, url, was_known)


def _check_channels(
    client: LabelStudioClient, project_id: int, settings: ProjectSettings, config: LabelConfig
) -> None:
    """A field that the interface does not show must be in the tasks: a typo would leave out all."""
    if not settings.channels:
        return
    task = next(iter(client.iter_tasks(project_id)), None)
    missing = [key for key in config.image_keys if task is not None and key not in task.data]
    if task is not None and missing:
        raise SettingsError(
            f"channels names {missing[0]!r}, which task {task.id} does not have.",
            remedy=f"Its fields are {', '.join(task.data)}.",
        )


def _check_priority(settings: ProjectSettings, config: LabelConfig) -> None:
    unknown = [n for n in settings.label_priority if config.group.class_by_value(n) is None]
    if unknown:
        raise SettingsError(
            f"label_priority names {unknown[0]!r}, which the labelling interface lacks.",
            remedy=f"Its labels are {', '.join(config.class_values)}.",
        )


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
            f"{error.error_count()} project setting(s) can't be used: "
            f"{faults_of(error, with_values=True)}.",
            remedy="See `nnloop connect --help` and docs/settings.md.",
        ) from None
