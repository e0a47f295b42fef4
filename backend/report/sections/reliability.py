"""The section on scores: how far the expected quality can be believed."""

from __future__ import annotations

from backend.pipeline.quality.calibrate import reliability_of
from backend.report.charts.reliability_chart import draw_reliability
from backend.report.figures import ReportFigures
from backend.report.section import Picture, Section, Table
from backend.report.sections.words import figure, percent
from domain.text import counted, signed


def reliability_section(figures: ReportFigures) -> Section:
    """Expected against true quality, on pairs whose truth the version did not know."""
    title = "Whether scores can be believed"
    if not figures.scores:
        return Section(
            "scores",
            title,
            missing="No prediction of the serving version has a truth yet that it did not know: "
            "held-out images of a training and corrections of its predictions will be some.",
        )
    rows = []
    for kind, some in figures.scores.items():
        found = reliability_of(some)
        inside = "-" if found.coverage is None else percent(found.coverage)
        bias = "-" if found.bias is None else signed(found.bias, 3)
        figures_of_kind = (found.ece, found.spearman, found.auroc)
        rows.append((kind, str(found.n), bias, *map(figure, figures_of_kind), inside))
    told = " and ".join(f"{counted(len(s), 'image')} ({k})" for k, s in figures.scores.items())
    return Section(
        "scores",
        title,
        [
            "Each prediction has a score, the Dice to expect of it; the lowest scores are labelled "
            "first. Here it stands against what the Dice turned out to be. Points below the dashed "
            "line were expected to be better than they were.",
            "Held out: labelled images, predicted by the one network that was not trained on them. "
            "Corrected: predictions that people were shown, and what they made of them; the queues "
            "show bad ones first.",
        ],
        [
            Picture(
                draw_reliability(figures.scores),
                f"Expected against true Dice of {told}.",
                "Lines are means over images of like scores.",
            ),
            Table(
                "Bias is the score less the Dice; calibration error the mean distance of the two "
                "over bins; rank correlation is Spearman's; worst tenth: how surely one of them "
                "has the lower score (0.5 = not at all); a dash where n is too small",
                ("Images", "n", "Bias", "Calibration error", "Rank correlation", "Worst tenth",
                 "In the 90 % interval"),
                rows,
            ),
        ],
    )  # fmt: skip
