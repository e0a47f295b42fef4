"""RunSettings: what one TrainingRun runs with, kept with the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from backend.pipeline.basis.annotations import label_config_of
from backend.settings import ProjectSettings, faults_of
from backend.store.models import ProjectRow, RunRow
from backend.store.projects import settings_of
from domain.errors import LabelConfigError, SettingsError
from domain.labels import LabelNames
from domain.text import counted


class RunSettings(ProjectSettings):
    """The project's settings at the run's start, with what was asked for this run alone."""

    replan: bool = Field(False, description="Make new plans, though the old ones still fit.")
    class_values: tuple[str, ...] = Field(
        (), description="The labels at the run's start; empty where they can't be read."
    )
    label_mapping: dict[str, str] = Field(
        {}, description="The renames of labels that were known at the run's start."
    )

    @property
    def label_names(self) -> LabelNames:
        """What the labels were called at the run's start."""
        return LabelNames(self.label_mapping, self.class_values)


def settings_of_run(run: RunRow) -> RunSettings:
    """The run's settings, defaults filled in."""
    return RunSettings.model_validate(run.settings)


def run_settings(project: ProjectRow, overrides: Mapping[str, Any]) -> RunSettings:
    """The project's settings now, with ``overrides`` on top.

    Raises:
        SettingsError: An override can't be used.
    """
    values = settings_of(project).model_dump() | {
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
        return label_config_of(project, settings_of(project)).class_values
    except LabelConfigError:
        return ()
