"""RunSettings: what one TrainingRun runs with, kept with the run."""

from __future__ import annotations

from pydantic import Field

from backend.settings.project import ProjectSettings
from domain.labels import LabelNames


class RunSettings(ProjectSettings):
    """The project's settings at the run's start, with what was asked for this run alone."""

    replan: bool = Field(False, description="Make new plans, though the old ones still fit.")
    start_from: str = Field(
        "", description="Folder of a model whose weights the folds start from; empty: none."
    )
    start_map: dict[str, str] = Field(
        {}, description="Class of that model -> the label that goes on from it; others begin fresh."
    )
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
