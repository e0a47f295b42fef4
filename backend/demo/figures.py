"""The demo's figures: what was pushed, measured against the generator's truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from backend.demo.queue import Offer
from backend.label_studio import LabelStudioClient, PushedPrediction
from backend.pipeline.basis.report import Report
from backend.pipeline.models.version_report import VersionReport
from backend.pipeline.queues.report import ControlArmReport
from backend.pipeline.runs.run_report import RunReport
from backend.pipeline.status import ProjectReport
from converters.label_studio.read import annotation_to_label_map
from domain.annotation import Annotation
from domain.geometry import LabelMap
from domain.labels import LabelConfig
from domain.states import RunStatus
from training.evaluation import ClassDice, image_dice, mean_over_cases, named_dice

STAGES: dict[str, RunStatus] = {
    "prepare": RunStatus.PREPARING,
    "train": RunStatus.TRAINING,
    "evaluate": RunStatus.EVALUATING,
    "score": RunStatus.SCORING,
    "publish": RunStatus.PUBLISHING,
}


class VersionFigures(Report):
    """One version.

    Dice of a class are means over the images that say something about it, 0 to 1, or None where
    none does (``training.evaluation.dice``).
    ``pool_dice`` is measured on the polygons Label Studio held for unlabelled tasks, so it is empty
    for a version that the gate refused. ``score_rank_correlation`` is Spearman's, between the score
    and the image's own figure; None when it is not defined.
    """

    name: str
    labels: int
    verdict: str
    oof_dice: ClassDice
    pool_dice: ClassDice
    score_rank_correlation: float | None
    vertices_median: float | None
    published: int
    seconds: dict[str, float]


class DemoFigures(Report):
    """Everything the demo measured.

    ``corrected`` are the tasks as the annotator was served them after the first version, in that
    order; ``control_arm`` is None while no task that chance drew was corrected; ``report`` is the
    page that was written.
    """

    versions: tuple[VersionFigures, ...]
    corrected: tuple[Offer, ...]
    control_arm: ControlArmReport | None
    report: str
    first_offered_is_lowest_score: bool
    seconds_total: float
    leftover_processes: int


def measure(
    client: LabelStudioClient,
    report: ProjectReport,
    run: RunReport,
    config: LabelConfig,
    truth: Mapping[int, LabelMap],
) -> VersionFigures:
    """Reads a run's version back from Label Studio and compares it with the truth.

    Args:
        client: Label Studio.
        report: The project, after the run is done.
        run: The run.
        config: The demo's labelling configuration.
        truth: Task id -> (height, width) uint8.
    """
    version = next(v for v in report.versions if v.run == run.number)
    pushed = list(client.iter_predictions(report.id, version.name))
    dice = {str(row.task_id): _dice(row, config, truth[row.task_id]) for row in pushed}
    vertices = [len(region["value"]["points"]) for row in pushed for region in row.result]
    return VersionFigures(
        name=version.name,
        labels=version.labels,
        verdict=_verdict(version),
        oof_dice=version.oof_dice,
        pool_dice=mean_over_cases(dice),
        score_rank_correlation=rank_correlation(
            [row.score or 0.0 for row in pushed],
            [image_dice(dice[str(row.task_id)].values()) for row in pushed],
        ),
        vertices_median=float(np.median(vertices)) if vertices else None,
        published=len(pushed),
        seconds={name: run.seconds.get(stage, 0.0) for name, stage in STAGES.items()},
    )


def rank_correlation(scores: Sequence[float], dice: Sequence[float]) -> float | None:
    """Spearman's rank correlation; None for fewer than 3 pairs or when one side is constant."""
    from scipy.stats import spearmanr  # half a second

    if len(scores) < 3 or len(set(scores)) < 2 or len(set(dice)) < 2:
        return None
    return float(spearmanr(scores, dice).statistic)


def _dice(row: PushedPrediction, config: LabelConfig, truth: LabelMap) -> ClassDice:
    size_hw = (int(truth.shape[0]), int(truth.shape[1]))
    drawn, _ = annotation_to_label_map(
        Annotation(id=row.id or 0, task_id=row.task_id, result=row.result), config, size_hw
    )
    return named_dice(drawn, truth, config.class_values)


def _verdict(version: VersionReport) -> str:
    return f"{version.status}: {version.gate}"
