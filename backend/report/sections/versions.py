"""The section on versions, and on the classes of the one that serves."""

from __future__ import annotations

from backend.report.figures import ReportFigures
from backend.report.section import Block, Section, Table
from backend.report.sections.words import figure, moment
from domain.states import VersionOrigin


def versions_section(figures: ReportFigures) -> Section:
    """Every version with what was measured of it, and what the gate said."""
    if not figures.versions:
        return Section(
            "versions",
            "Versions",
            missing=f"There is no version yet. Next training: {figures.waiting_for}",
        )
    blocks: list[Block] = []
    if figures.serving is not None and figures.classes:
        blocks.append(
            Table(
                f"Classes of {figures.serving.name}, which serves: mean Dice over the held-out "
                "images in which the annotation or the prediction has the class",
                ("Class", "Dice", "n", "Images trained on that show it"),
                [
                    (
                        one.name,
                        figure(one.dice),
                        str(one.n),
                        "-" if one.n_trained is None else str(one.n_trained),
                    )
                    for one in figures.classes
                ],
            )
        )
    older = f" {figures.n_older} older ones are not listed." if figures.n_older else ""
    blocks.append(
        Table(
            "Versions, the newest first; Dice is the mean of the images that the version held "
            f"out itself, n of them.{older}",
            ("Version", "Labels", "Dice", "n", "Status", "Made", "What the gate said"),
            [
                (
                    one.name,
                    "-" if one.origin is VersionOrigin.IMPORTED else str(one.labels),
                    figure(one.dice),
                    str(one.n),
                    one.standing,
                    moment(one.created_at),
                    one.gate or "-",
                )
                for one in figures.versions
            ],
            words=(4, 5, 6),
        )
    )
    return Section(
        "versions",
        "Versions",
        [
            "A version serves only when it is not worse than the one before, judged on the same "
            "held-out images. Dice in this table is of other images in each row: compare versions "
            "by the learning curve."
        ],
        blocks,
    )
