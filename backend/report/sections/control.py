"""The section on the control arm: quality on the whole, and whether choosing images pays."""

from __future__ import annotations

from backend.pipeline.queues.report import beside_chance, too_few
from backend.report.charts.control_chart import draw_control
from backend.report.figures import ReportFigures
from backend.report.section import Picture, Section
from backend.report.sections.words import interval
from domain.text import counted


def control_section(figures: ReportFigures) -> Section:
    """What images that chance drew tell."""
    title = "Chance as a control"
    if figures.control_arm is None:
        return Section(
            "control",
            title,
            missing="No batch of a queue that has images drawn by chance is done yet. A tenth of "
            "each batch is (setting control_share); they tell how good predictions are on the "
            "whole, and whether choosing images pays.",
        )
    if figures.control_arm.is_few:
        return Section(
            "control",
            title,
            missing="Too few images to tell how good predictions are on the whole, or whether "
            f"choosing images pays: {too_few(figures.control_arm)}.",
        )
    quality, gain = figures.control_arm.quality, figures.control_arm.gain
    sentences = [
        f"On {counted(quality.n, 'image')} that chance alone drew, predictions had a mean Dice of "
        f"{interval(quality.mean, quality.low, quality.high)}, as people saw them before they "
        "corrected. Nobody chose these images, so they speak for all that were unlabelled then; "
        "skipped ones count for nothing. The 90 % interval holds however often one looks."
    ]
    if gain is None:
        return Section(
            "control",
            title,
            sentences,
            missing="Beside them nothing is known yet of images that a strategy has chosen.",
        )
    sentences.append(
        f"In batches that are done {gain.strategy} chose {counted(gain.n, 'image')} in which "
        f"{gain.strategy_error:.2f} Dice was to be corrected on average, chance found "
        f"{gain.control_error:.2f}: "
        f"{beside_chance(gain.mean, gain.low, gain.high)}. It says how bad the "
        "predictions were that people corrected, not yet that a model trained on them is better."
    )
    if waiting := figures.control_arm.n_waiting:
        sentences.append(f"Not counted: {counted(waiting, 'label')} in batches that are not done.")
    sentences.append(
        {
            True: "The interval lies above 0: it pays.",
            False: f"The interval {'includes' if gain.high >= 0 else 'lies below'} 0: it does not "
            "pay. With the setting turn_to_random the queues would be drawn by chance.",
            None: "There are too few images yet to tell whether it pays.",
        }[gain.pays]
    )
    return Section(
        "control",
        title,
        sentences,
        [
            Picture(
                draw_control(gain),
                f"To correct per label: {gain.strategy} {gain.strategy_error:.2f}, chance "
                f"{gain.control_error:.2f}.",
                "The line is the 90 % interval of what chance finds; what the strategy chose is "
                "known in whole.",
            )
        ],
    )
