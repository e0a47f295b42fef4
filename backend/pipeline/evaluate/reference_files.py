"""The files of a version's evaluation: reference label maps, and images that no run has fetched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from backend.pipeline.basis.annotations import label_map_of, predicted_regions
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.images import load_image
from backend.pipeline.evaluate.chosen_cases import EvaluationCase
from backend.settings import ProjectSettings
from backend.store.models import AnnotationRow, JsonDict
from backend.store.tasks import snapshots
from converters.images.image_pixels import write_png
from converters.images.of_tasks import image_size_hw
from domain.errors import PredictionError
from domain.geometry import LabelMap
from domain.labels import LabelConfig
from training.case_files import write_case
from training.workspace import Workspace


@dataclass(frozen=True, slots=True)
class ReferenceWriter:
    """Writes the annotations of tasks as label maps, as training would.

    Attributes:
        context: Where annotations and images come from.
        workspace: The project's; its images are taken where they are.
        scratch: Where other images go.
        config: The project's configuration.
        settings: The project's.
        n_channels: Of the version.
        out: Folder of the label maps.
    """

    context: AppContext
    workspace: Workspace
    scratch: Workspace
    config: LabelConfig
    settings: ProjectSettings
    n_channels: int
    out: Path

    def write(self, case: EvaluationCase) -> Workspace:
        """Writes OUT/CASE_ID.png; returns the workspace that has the case's image.

        Raises:
            TaskError: An annotation or the image can't be read.
            TrainingError: The image is none the version can take.
            LabelStudioError: An image is needed and Label Studio does not answer.
        """
        image_png = self.workspace.image_png(case.case_id)
        with self.context.store.begin() as session:
            annotations = snapshots.with_results(session, case.annotations)
            predicted = predicted_regions(session, annotations)
        if image_png.exists():
            size_hw = image_size_hw(image_png, case.task.id)
            label_map = self._label_map(annotations, size_hw, predicted)
            workspace = self.workspace
        else:
            image = load_image(self.context, case.task, self.config)
            size_hw = (int(image.shape[0]), int(image.shape[1]))
            label_map = self._label_map(annotations, size_hw, predicted)
            write_case(self.scratch, case.case_id, image, label_map, n_channels=self.n_channels)
            workspace = self.scratch
        self.out.mkdir(parents=True, exist_ok=True)
        write_png(self.out / f"{case.case_id}.png", label_map)
        return workspace

    def _label_map(
        self,
        annotations: tuple[AnnotationRow, ...],
        size_hw: tuple[int, int],
        predicted: list[JsonDict],
    ) -> LabelMap:
        return label_map_of(annotations, self.config, size_hw, self.settings, predicted)[0]


@dataclass(frozen=True, slots=True)
class CommonClasses:
    """The classes that a version and its project's configuration share.

    Attributes:
        names: Integer in today's label maps -> name.
        integers: What the version's classes 0, 1, 2, ... are in today's label maps; 0 for a class
            the project has no longer.
        config: The configuration with these classes alone, numbered 1, 2, ...
        remarks: What is not compared.
    """

    names: dict[int, str]
    integers: tuple[int, ...]
    config: LabelConfig
    remarks: tuple[str, ...]


def common_classes(name: str, values: tuple[str, ...], config: LabelConfig) -> CommonClasses:
    """Matches the classes of a version with the project's, by name.

    Args:
        name: The version's.
        values: Its classes in integer order, background left out.
        config: The project's configuration as it is now.

    Raises:
        PredictionError: They have no class in common.
    """
    shared = [one for one in config.group.classes if one.value in values]
    if not shared:
        raise PredictionError(
            f"{name} knows the classes {', '.join(values)}, the project none of them.",
            remedy="Train a version of the project's present classes.",
        )
    of_name = {one.value: one.index for one in shared}
    remarks = []
    for who, others in (
        (name, [one.value for one in config.group.classes if one.value not in values]),
        ("the project", [value for value in values if value not in of_name]),
    ):
        if others:
            remarks.append(f"Not compared, because {who} does not know it: {', '.join(others)}.")
    group = replace(
        config.group,
        classes=tuple(replace(one, index=i) for i, one in enumerate(shared, start=1)),
    )
    return CommonClasses(
        names={one.index: one.value for one in shared},
        integers=(0, *(of_name.get(value, 0) for value in values)),
        config=replace(config, group=group),
        remarks=tuple(remarks),
    )
