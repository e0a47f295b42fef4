"""The section of labels that are probably wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from backend.pipeline.doubts.report import CheckReport, DoubtedLabelReport
from backend.report.figures import ReportFigures
from backend.report.section import Section, Table
from domain.doubts import DoubtKind
from domain.text import counted

MOST_LABELS = 20
"""Labels that are listed, the most doubtful; the others are counted."""


def doubtful_section(figures: ReportFigures) -> Section:
    """Labels that disagree with predictions which have not seen them."""
    key, title, found = "doubtful", "Doubtful labels", figures.checking
    if found is None or not found.labels:
        return Section(key, title, missing=found.why_none if found else "Nobody asked for them.")
    return Section(key, title, list(_sentences(found)), [_table(found, figures.image_names)])


def _sentences(found: CheckReport) -> Iterable[str]:
    kinds = Counter(one.kind for one in found.labels)
    said = ", ".join(f"{kinds[kind]} {kind}" for kind in DoubtKind if kinds[kind])
    yield (
        f"{len(found.labels)} of {counted(found.n_compared, 'label')} disagree with what networks "
        f"of {found.version} see which had not seen them, more than most do: {said}. One of the "
        "two is wrong, and it may be the network."
    )
    if found.remark:
        yield found.remark
    if found.serving != found.version:
        yield f"{found.version} is the newest that was trained here; another version serves."
    if found.n_checked:
        yield f"{counted(found.n_checked, 'label was', 'labels were')} looked at and found right."
    if found.tab_url:
        yield "In Label Studio they stand in the tab 'Check these labels'."


def _table(found: CheckReport, names: Mapping[int, str]) -> Table:
    listed = found.labels[:MOST_LABELS]
    n_more = len(found.labels) - len(listed)
    caption = "What speaks against them, the most doubtful first; places are in pixels."
    if n_more:
        caption += f" {n_more} more: nnloop qa lists them."
    return Table(
        caption,
        ("Task", "Image", "Why", "Where", "As strong in"),
        [_row(one, names.get(one.task_id, ""), found.n_compared) for one in listed],
        words=(1, 2, 3),
    )


def _row(one: DoubtedLabelReport, name: str, n_compared: int) -> tuple[str, ...]:
    x, y, width, height = one.box
    return (
        str(one.task_id),
        name,
        f"{one.kind}: {one.sentence}",
        f"{width} x {height} at {x}, {y}",
        f"{max(1, round(one.rarity * n_compared))} of {n_compared}",
    )
