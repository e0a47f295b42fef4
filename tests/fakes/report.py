"""Figures of a report: one that knows nothing, and one that knows everything."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import cache

import numpy as np
from PIL import Image

from active_learning.control_arm import Estimate
from active_learning.learning_curve import CurvePoint, Enough, LearningCurve
from backend.pipeline.progress.held_out import LeftOutVersion
from backend.pipeline.progress.learning import (
    MORE,
    BandPoint,
    Learning,
    MeasuredVersion,
    PoolPoint,
)
from backend.pipeline.quality.calibrate import CORRECTED, HELD_OUT, ScorePair
from backend.pipeline.queues.report import ControlArmReport, EstimateReport, GainReport
from backend.report.cases.chosen import ChosenCase
from backend.report.cases.examined import Examined, ExaminedCase
from backend.report.cases.pictures import CasePictures
from backend.report.charts.figure import data_uri
from backend.report.figures import ClassFigures, ReportFigures, VersionFigures
from backend.store.models import TaskRow
from domain.states import VersionOrigin

LONG = "a-name-that-somebody-gave-to-it-without-any-blank-in-it-" * 2
MADE_AT = 1_800_000_000.0


def nothing_known() -> ReportFigures:
    """Before the first version."""
    return ReportFigures(
        title="Carotid",
        made_at=MADE_AT,
        synced_at=None,
        n_tasks=0,
        n_labelled=0,
        waiting_for="10 more needed.",
        learning=Learning(missing="the first training makes the first point"),
    )


def version(
    number: int = 1,
    *,
    n: int = 20,
    dice: float | None = 0.8,
    standard_error: float | None = 0.02,
    origin: VersionOrigin = VersionOrigin.TRAINED,
) -> VersionFigures:
    """A version that serves."""
    return VersionFigures(
        name=f"nnloop-v{number}",
        standing="champion",
        labels=10 * number,
        created_at=MADE_AT,
        n=n,
        dice=dice,
        standard_error=standard_error,
        gate="mean Dice per image 0.800 against 0.780 of nnloop-v0 on the same 20 held-out cases, "
        "+0.020 [-0.010, +0.050]: not worse",
        remark="",
        origin=origin,
    )


def pairs(n: int, seed: int = 0, bias: float = 0.0) -> tuple[ScorePair, ...]:
    """Scores that tell, and what was true."""
    rng = np.random.default_rng(seed)
    true = rng.uniform(0.3, 0.98, n)
    expected = np.clip(true + bias + rng.normal(0, 0.05, n), 0, 1)
    return tuple(
        ScorePair(float(e), float(t), float(max(e - 0.1, 0)), float(min(e + 0.1, 1)))
        for e, t in zip(expected, true, strict=True)
    )


def control_arm(pays: bool | None = True) -> ControlArmReport:
    """Of batches that are done, with what a strategy gained."""
    return ControlArmReport(
        quality=EstimateReport(n=40, mean=0.82, low=0.76, high=0.88),
        gain=GainReport(
            strategy="lowest_score",
            n=120,
            strategy_error=0.31,
            control_error=0.18,
            mean=0.13,
            low=0.05,
            high=0.21,
            pays=pays,
        ),
    )


@cache
def learning(n_versions: int = 3) -> Learning:
    """Versions on a curve, with a band where they have two or more."""
    measured = tuple(
        MeasuredVersion(f"nnloop-v{i}", 10 * i, 0.9 - 0.4 / i, 0.02, 0.9 - 0.5 / i, 10 * i, 10)
        for i in range(1, n_versions + 1)
    )
    found = Learning(
        versions=measured,
        newest=measured[-1].name,
        n_cases=10 * n_versions,
        missing="it takes two versions with different numbers of labels",
    )
    if n_versions < 2:
        return found
    curve = LearningCurve([CurvePoint(m.labels, m.quality, m.standard_error) for m in measured])
    labels = range(10, measured[-1].labels + 100, 10)
    band = curve.band(labels)
    return replace(
        found,
        missing="",
        gains={more: curve.gain(more) for more in MORE},
        band=tuple(BandPoint(n, at) for n, at in zip(labels, band, strict=True)),
    )


def everything_known(n_classes: int = 40, n_versions: int = 30) -> ReportFigures:
    """A large project of which all is known, with long names."""
    known = replace(
        learning(n_versions),
        pool=(PoolPoint("nnloop-v1", 10, Estimate(12, 0.7, 0.3, 0.9)),),
        left_out=tuple(LeftOutVersion(f"{LONG}{i}", "another preset") for i in range(12)),
        enough=Enough("The target 0.85 is reached.", 300),
        is_asked=True,
    )
    return replace(
        nothing_known(),
        title=LONG,
        synced_at=MADE_AT,
        n_tasks=50_000,
        n_labelled=300,
        learning=known,
        target=0.85,
        serving=version(n_versions),
        classes=tuple(
            ClassFigures(
                f"class {i} {LONG if i == 3 else ''}".strip(), i, 0.9 - 0.02 * i if i else None, i
            )
            for i in range(n_classes)
        ),
        versions=tuple(version(i) for i in range(n_versions, 0, -1)),
        n_older=7,
        scores={HELD_OUT: pairs(300), CORRECTED: pairs(40, 1, bias=0.2)},
        control_arm=control_arm(),
        n_problems=2,
    )


def picture(shade: int) -> str:
    """A grey picture as a ``data:`` URI."""
    buffer = io.BytesIO()
    Image.new("L", (440, 300), shade).save(buffer, "JPEG")
    return data_uri(buffer.getvalue(), "image/jpeg")


def examined(n: int = 8, n_without: int = 0) -> Examined:
    """Worst cases with pictures, the last ``n_without`` without, and half as many unsure tasks."""
    pictures = CasePictures(picture(40), picture(80), picture(120), picture(160))

    def case(i: int, chosen: ChosenCase) -> ExaminedCase:
        if i >= n - n_without:
            return ExaminedCase(chosen, missing="Label Studio does not answer.")
        drawn = pictures if chosen.kind else replace(pictures, truth="")
        return ExaminedCase(chosen, drawn, link="http://localhost:8080/projects/1/data?task=1")

    worst = [
        ChosenCase(
            TaskRow(id=i),
            f"task_{i}",
            fold=1,
            kind=HELD_OUT,
            dice=0.1 * i,
            dice_per_class={f"class {k}": k / 40 for k in range(40)},
        )
        for i in range(n)
    ]
    unsure = [
        ChosenCase(TaskRow(id=100 + i), f"task_{100 + i}", score=0.4, why="Folds disagree on wall.")
        for i in range(n // 2)
    ]
    return Examined(
        "nnloop-v3",
        (("lumen", "#2a9df4"), (LONG, "#f4a261")),
        tuple(case(i, one) for i, one in enumerate(worst)),
        30,
        tuple(case(i, one) for i, one in enumerate(unsure)),
    )
