"""What one TrainingRun runs with: the project's settings, and what is asked for it alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from backend.pipeline.basis.annotations import label_config_of
from backend.settings import RunSettings, faults_of
from backend.store.models import ProjectRow
from domain.errors import LabelConfigError, SettingsError
from domain.text import counted


def run_settings(project: ProjectRow, overrides: Mapping[str, Any]) -> RunSettings:
    """The project's settings now, with ``overrides`` on top.

    Raises:
        SettingsError: An override can't be used.
    """
    values = project.settings.model_dump() | {
        "class_values": class_values_of(project),
        "label_mapping": project.label_mapping,
    }
    try:
        return RunSettings.model_validate({**values, **overrides})
    except ValidationError as error:
        raise SettingsError(
            f"{counted(error.error_count(), 'setting')} of the run can't be used: "
            f"{faults_of(error, with_values=True)}.",
            remedy="See `nnloop train --help` and docs/settings.md.",
        ) from None


def class_values_of(project: ProjectRow) -> tuple[str, ...]:
    """The project's labels as they were last read; empty when its interface can't be used."""
    try:
        return label_config_of(project, project.settings).class_values
    except LabelConfigError:
        return ()
