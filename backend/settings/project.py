"""Settings of one project, kept in the store."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from backend.settings.duration import parse_duration
from backend.settings.option import Option
from converters.painting.policies import AnnotatorPolicy
from domain.errors import SettingsError
from domain.labels import Unlabelled
from training.presets import PRESETS
from training.symmetries.symmetries import MirrorTraining

# Headings in the help.
START = "When training starts"
TRAINING = "Training"
VERSIONS = "Versions"
TRUTH = "Images and annotations"
PREDICTIONS = "Predictions"
QUEUES = "Queues of annotators"
ENOUGH = "When labels are enough"

AS_PRESET = "as the preset"

NO_BUDGET = 0.0
"""Training takes the time that the preset's epochs take."""

if TYPE_CHECKING:
    PresetName = str
else:
    PresetName = Literal["auto", *PRESETS]


def _known_strategy(value: str) -> str:
    from active_learning.strategies import strategy_by_name  # loads numpy

    if value != "auto":
        try:
            strategy_by_name(value)
        except SettingsError as error:
            raise ValueError(error.in_full) from None
    return value


PixelSize = Annotated[float, Field(ge=1e-6, le=1e6)]


def _readable_group_key(value: str | None) -> str | None:
    from converters.images.groups import GroupKey  # loads OpenCV

    if value is not None:
        GroupKey.parse(value)
    return value


def _absolute(plans: str) -> str:
    """The whole path where a file is meant: a worker has another working folder."""
    # What is longer than a path is no file; whoever reads plans says so.
    with suppress(OSError):
        if ("/" in plans or plans.endswith(".json")) and Path(plans).is_file():
            return str(Path(plans).resolve())
    return plans


def _seconds(value: Any) -> Any:
    """A text is a duration, ``none`` no limit."""
    if not isinstance(value, str):
        return value
    return NO_BUDGET if value.strip().lower() in ("none", "0") else parse_duration(value)


def _spacing(value: Any) -> Any:
    from converters.exports.options import parse_spacing  # loads the exports

    try:
        return parse_spacing(value) if isinstance(value, str) else value
    except SettingsError as error:
        raise ValueError(str(error)) from None


def _without_empty(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(filter(None, names))


Names = Annotated[tuple[str, ...], AfterValidator(_without_empty)]


class ProjectSettings(BaseModel):
    """What one project runs with; set by ``nnloop connect`` and kept in the store.

    A field is an option of ``nnloop connect`` and a row of docs/settings.md as it stands here.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    min_annotations: Annotated[int, Option(START)] = Field(
        10, ge=1, description="Labelled tasks before the first training."
    )
    retrain_after: Annotated[int, Option(START)] = Field(
        5, ge=1, description="New or changed annotations before the next training."
    )

    preset: Annotated[PresetName, Option(TRAINING)] = Field(
        "auto",
        description="Training preset; auto: `fast` on a GPU, `pretrained` on a CPU.",
    )
    trainer: Annotated[str, Option(TRAINING, empty=AS_PRESET)] = Field(
        "",
        description="nnU-Net trainer by its name (`nnUNetTrainer_250epochs`) or as "
        "`package.module:Class` (docs/full-preset.md).",
    )
    planner: Annotated[str, Option(TRAINING, empty=AS_PRESET)] = Field(
        "",
        description="nnU-Net planner likewise (`nnUNetPlannerResEncM`), its plans used as they "
        "are.",
    )
    plans: Annotated[str, Option(TRAINING, empty="plans are made"), AfterValidator(_absolute)] = (
        Field(
            "",
            description="Plans used instead of planning: the path of a plans.json, or the name of "
            "one in the project's folder `plans` or of a version.",
        )
    )
    gpu_memory_gb: Annotated[
        float | None, Option(TRAINING, "--gpu-memory", empty="the planner's own target")
    ] = Field(None, gt=0, description="GPU memory the planner plans for, in GB.")
    n_folds: Annotated[int | None, Option(TRAINING, "--folds", empty=AS_PRESET)] = Field(
        None, ge=2, le=20, description="Number of folds."
    )
    budget_s: Annotated[
        float | None,
        Option(TRAINING, "--budget", metavar="DURATION", empty=AS_PRESET),
        BeforeValidator(_seconds),
    ] = Field(
        None,
        ge=0,
        description="Time the training of all folds may take, shared out over the workers: 90s, "
        "10m, 1h30m; or none. A plain number is in seconds, 0 is none. Without it `fast` has "
        "6 min; others train all their epochs: those for a CPU 1 to 2 min a fold on a free core.",
    )
    warm_start: Annotated[bool, Option(TRAINING, "--warm-start/--from-scratch")] = Field(
        True, description="Start each fold from the serving version's weights of that fold."
    )
    mirror_train: Annotated[MirrorTraining, Option(TRAINING)] = Field(
        "auto",
        description="Flips of images in training: `auto` decides from the labels which leave the "
        "meaning of the classes alone (docs/sides.md); `horizontal` is left to right, `vertical` "
        "upside down. Predictions are mirrored only where training was.",
    )
    unions: Annotated[
        Names,
        Option(TRAINING, "--union", metavar="UNION", empty="each class by itself"),
    ] = Field(
        (),
        description="Classes that networks find together, as `vessel=lumen+wall`: the class named "
        "last is what the union is where none of its others is found (docs/class-unions.md).",
    )
    union_order: Annotated[
        Names, Option(TRAINING, "--order", metavar="CLASS", empty="larger unions first")
    ] = Field(
        (),
        description="With unions, every class once in the order in which predictions are painted, "
        "later ones over earlier ones.",
    )
    seed: Annotated[int, Option(TRAINING)] = Field(
        0,
        description="Decides the seeds of all trainings; each run and fold has one of its own, "
        "which its manifest names.",
    )

    gate_margin: Annotated[float, Option(VERSIONS)] = Field(
        0.01,
        ge=0,
        le=1,
        description="Loss of held-out Dice, in the mean and per class, up to which a new "
        "version still counts as not worse.",
    )
    keep_versions: Annotated[int, Option(VERSIONS)] = Field(
        5,
        ge=2,
        description="Versions whose weights are kept; the serving one, the one before it and "
        "pinned ones always are.",
    )
    keep_bytes: Annotated[int | None, Option(VERSIONS, empty="no limit")] = Field(
        None, ge=0, description="Bytes the kept versions may take in all."
    )

    group_key: Annotated[
        str | None,
        Option(TRUTH, empty="each task is a group"),
        AfterValidator(_readable_group_key),
    ] = Field(
        None,
        description="Groups of tasks, none of which is both trained on and validated on: the task "
        "data field that names the patient, video or site, or `name:REGEX` for a part of the "
        r"image's file name, such as `name:^(P\d+)_`",
    )
    join_alike: Annotated[
        bool | None, Option(TRUTH, empty="sets of up to a fifth of the labelled images")
    ] = Field(
        None,
        description="Count groups as one that share images which look alike (re-exports, cut or "
        "turned copies, neighbouring frames of one video), so that none of them is on both sides; "
        "`nnloop alike` lists them. The very same image in two tasks always counts so.",
    )
    channels: Annotated[
        Names, Option(TRUTH, "--channel", metavar="FIELD", empty="the image that is drawn on")
    ] = Field(
        (),
        description="Task data fields of images that are stacked as channels (modalities) in this "
        "order, all of one size.",
    )
    annotator_policy: Annotated[AnnotatorPolicy, Option(TRUTH)] = Field(
        "latest",
        description="Which annotations of a task count when several people drew it; the last three "
        "combine all of them pixel by pixel.",
    )
    label_priority: Annotated[
        Names, Option(TRUTH, metavar="LABEL", empty="later regions lie on top")
    ] = Field(
        (),
        description="Labels that lie on top where regions overlap, the first on top of all. What a "
        "person drew or changed lies over what was left as predicted, whatever its label.",
    )
    ignore_label: Annotated[str, Option(TRUTH, metavar="LABEL", empty="none")] = Field(
        "",
        description="Label of the interface whose pixels teach nothing and count in no Dice "
        "(docs/sparse-labels.md).",
    )
    background_label: Annotated[str, Option(TRUTH, metavar="LABEL", empty="none")] = Field(
        "",
        description="Label of the interface whose pixels are background: needed where unlabelled "
        "pixels are ignored and yet something is to be told from background.",
    )
    unlabelled: Annotated[Unlabelled, Option(TRUTH)] = Field(
        "background",
        description="What pixels without any label are: background, or ignored as those of "
        "`ignore_label`.",
    )
    unlabelled_choice: Annotated[str, Option(TRUTH, metavar="CHOICE", empty="none")] = Field(
        "",
        description="Choice of the interface (`<Choices>`) by which an annotator says of one task "
        "that its unlabelled pixels are ignored.",
    )
    keypoints: Annotated[Literal["disc", "leave_out"], Option(TRUTH)] = Field(
        "disc", description="What a keypoint is: a disc of its width, or nothing."
    )
    line_width_px: Annotated[float, Option(TRUTH, "--line-width")] = Field(
        3.0, gt=0, le=1000, description="Width of open vectors, in pixels of the image."
    )
    pixel_spacing_mm: Annotated[
        tuple[PixelSize, PixelSize] | None,
        Option(TRUTH, "--pixel-spacing", metavar="MM[,MM]", empty="distances are in pixels"),
        BeforeValidator(_spacing),
    ] = Field(
        None,
        description="Size of a pixel in millimetres, for distances of `nnloop evaluate` and for "
        "exports of images that do not say it themselves: one number, or vertical,horizontal.",
    )

    min_region_area_px: Annotated[float, Option(PREDICTIONS, "--min-region-area")] = Field(
        0.0, ge=0, description="Predicted parts smaller than this many pixels are not pushed."
    )
    polygon_overlap: Annotated[float, Option(PREDICTIONS)] = Field(
        0.975,
        ge=0.5,
        le=1,
        description="Overlap (IoU) a pushed polygon aims to keep with the predicted pixels; more "
        "overlap, more points.",
    )
    vertex_budget: Annotated[int, Option(PREDICTIONS)] = Field(
        200,
        ge=3,
        description="Points of one pushed polygon; a region that needs more goes out as a brush "
        "where the labelling interface has one.",
    )
    mirror_predict: Annotated[bool | None, Option(PREDICTIONS, empty=AS_PRESET)] = Field(
        None, description="Average predictions over mirrored images: 4 times the work."
    )
    tile_step: Annotated[float | None, Option(PREDICTIONS, empty=AS_PRESET)] = Field(
        None,
        gt=0,
        le=1,
        description="Step between the tiles of a large image (smaller is slower and smoother), as "
        "a fraction of the patch.",
    )

    annotators: Annotated[
        Names, Option(QUEUES, "--annotator", metavar="PERSON", empty="who labels in the project")
    ] = Field(
        (),
        description="Who has a queue: e-mail addresses, or names that only one person has.",
    )
    queue_length: Annotated[int, Option(QUEUES)] = Field(
        20, ge=1, le=200, description="Tasks of one batch of an annotator's queue."
    )
    query_strategy: Annotated[
        str, Option(QUEUES, metavar="NAME"), AfterValidator(_known_strategy)
    ] = Field(
        "auto",
        description="What fills the queues, by its name in docs/active-learning.md; auto: at "
        "random from each predicted class in turn; before the first version the lowest scores of "
        "predictions that were imported with scores, else typical images.",
    )
    control_share: Annotated[float, Option(QUEUES)] = Field(
        0.1,
        ge=0,
        le=1,
        description="Share of each batch, at least 2 tasks, that chance alone draws, to tell how "
        "good predictions are on the whole and what the strategy gains; 0 is none.",
    )
    check_tab: Annotated[bool, Option(QUEUES)] = Field(
        True,
        description="Make a tab 'Check these labels' in Label Studio of labels that are probably "
        "wrong (docs/label-qa.md).",
    )
    turn_to_random: Annotated[bool, Option(QUEUES)] = Field(
        False,
        description="Draw by chance, stratified by predicted class, once the control arm shows "
        "that the strategy finds no more to correct than chance does.",
    )

    target_quality: Annotated[float | None, Option(ENOUGH, empty="no target")] = Field(
        None,
        gt=0,
        le=1,
        description="Mean Dice of an image that is enough; `nnloop status` and the report say when "
        "it is reached (docs/report.md). Training goes on.",
    )
    least_gain_per_hour: Annotated[float | None, Option(ENOUGH, empty="no bound")] = Field(
        None,
        gt=0,
        le=1,
        description="Mean Dice that an hour of labelling has to add to be worth it; when it surely "
        "adds less, that is said. Training goes on.",
    )
