"""Settings of one project, kept in the store."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
)

from converters.images.groups import GroupKey
from converters.painting.combining import AnnotatorPolicy

PixelSize = Annotated[float, Field(ge=1e-6, le=1e6)]


class ProjectSettings(BaseModel):
    """What one project runs with; set by ``nnloop connect`` and kept in the store."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    min_annotations: int = Field(10, ge=1, description="Labelled tasks before the first training.")
    retrain_after: int = Field(
        5, ge=1, description="New or changed annotations before the next training."
    )
    preset: Literal["auto", "tiny", "fast", "full"] = Field(
        "auto", description="Training preset; auto: `fast` on a GPU, `tiny` on a CPU."
    )
    trainer: str = Field(
        "",
        description="nnU-Net trainer by its name (`nnUNetTrainer_250epochs`) or as "
        "`package.module:Class`; empty: the preset's (docs/full-preset.md).",
    )
    planner: str = Field(
        "",
        description="nnU-Net planner likewise (`nnUNetPlannerResEncM`), its plans used as they "
        "are; empty: the preset's.",
    )
    plans: str = Field(
        "",
        description="Plans used instead of planning: the path of a plans.json, or the name of one "
        "in the project's folder `plans` or of a version; empty: plan.",
    )
    gpu_memory_gb: float | None = Field(
        None,
        gt=0,
        description="GPU memory the planner plans for, in GB; empty: the planner's own target.",
    )
    n_folds: int | None = Field(None, ge=2, le=20, description="Folds; empty: the preset's.")
    budget_s: float | None = Field(
        None,
        gt=0,
        description="Wall-clock time the training of all folds may take, in seconds, shared out "
        "over the workers; empty: none.",
    )
    warm_start: bool = Field(
        True, description="Start each fold from the serving version's weights of that fold."
    )
    mirror_predict: bool | None = Field(
        None,
        description="Average predictions over mirrored images: 4 times the work; empty: the "
        "preset's.",
    )
    tile_step: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Step between the tiles of a large image, as a fraction of a tile: smaller is "
        "slower and smoother; empty: the preset's.",
    )
    gate_margin: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Loss of out-of-fold Dice up to which a new version still counts as not worse, "
        "in the mean and per class.",
    )
    keep_versions: int = Field(
        5,
        ge=2,
        description="Versions whose weights are kept; the serving one, the one before it and "
        "pinned ones always are.",
    )
    keep_bytes: int | None = Field(
        None, ge=0, description="Bytes the kept versions may take in all; empty: no limit."
    )
    group_key: str | None = Field(
        None,
        description="Task data field that names the patient, video or site, or `name:REGEX` for a "
        r"part of the image's file name, such as `name:^(P\d+)_`: one group is never both trained "
        "on and validated on.",
    )
    channels: tuple[str, ...] = Field(
        (),
        description="Task data fields of images that are stacked as channels (modalities) in this "
        "order, all of one size; empty: the image that is drawn on.",
    )
    min_region_area_px: float = Field(
        0.0, ge=0, description="Predicted parts smaller than this many pixels are not pushed."
    )
    polygon_overlap: float = Field(
        0.975,
        ge=0.5,
        le=1,
        description="Overlap (IoU) a pushed polygon aims to keep with the predicted pixels; more "
        "overlap, more points.",
    )
    vertex_budget: int = Field(
        200,
        ge=3,
        description="Points of one pushed polygon; a region that needs more goes out as a brush "
        "where the labelling interface has one.",
    )
    annotator_policy: AnnotatorPolicy = Field(
        "latest",
        description="Which annotations of a task count when several people drew it; the last three "
        "combine all of them pixel by pixel.",
    )
    label_priority: tuple[str, ...] = Field(
        (),
        description="Labels that lie on top where regions overlap, the first on top of all; empty: "
        "later regions paint over earlier ones. What a person drew or changed lies over what was "
        "left as predicted, whatever its label.",
    )
    keypoints: Literal["disc", "leave_out"] = Field(
        "disc", description="What a keypoint is: a disc of its width, or nothing."
    )
    line_width_px: float = Field(
        3.0, gt=0, le=1000, description="Width of open vectors, in pixels of the image."
    )
    pixel_spacing_mm: tuple[PixelSize, PixelSize] | None = Field(
        None,
        description="Size of a pixel in millimetres (vertical, horizontal), for distances of "
        "`nnloop evaluate`; empty: pixels.",
    )
    seed: int = Field(0, description="Seed of the training.")

    @field_validator("group_key")
    @classmethod
    def _readable_group_key(cls, value: str | None) -> str | None:
        if value is not None:
            GroupKey.parse(value)
        return value
