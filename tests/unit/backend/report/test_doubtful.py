"""The section of doubtful labels, from a real store."""

from __future__ import annotations

from backend.report.figures import figures_of
from backend.report.section import Section, Table
from backend.report.sections.doubtful import MOST_LABELS, doubtful_section
from domain.doubts import Doubt, DoubtKind
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.doubts.doubtful import BOX, doubt, label_all, wrong


def section_of(app: FakeApp) -> Section:
    return doubtful_section(figures_of(app.context, PROJECT))


def test_it_lists_them_and_says_of_how_many(app: FakeApp) -> None:
    label_all(app)
    doubt(app, of={5: [wrong()], 9: [Doubt(DoubtKind.EMPTY, 0.7, 2, 0, BOX)]})
    section = section_of(app)
    assert section.sentences[0].startswith(
        "2 of 30 labels disagree with what networks of nnloop-v1 see which had not seen them, more "
        "than most do: 1 wrong class, 1 empty by mistake."
    )
    (table,) = section.blocks
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["5", "9"]
    assert [row[1] for row in table.rows] == ["5.png", "9.png"]
    assert table.rows[0][2].startswith("wrong class: wall is drawn where")
    assert table.rows[0][3:] == ("30 x 40 at 10, 20", "1 of 30")


def test_without_any_it_says_why(app: FakeApp) -> None:
    assert "No version was trained here yet" in section_of(app).missing
    label_all(app)
    doubt(app)
    assert "None of the 30 labels" in section_of(app).missing


def test_many_are_counted(app: FakeApp) -> None:
    label_all(app, 80)
    doubt(app, of={i: [wrong(0.8)] for i in range(1, 31)})
    (table,) = section_of(app).blocks
    assert isinstance(table, Table)
    assert len(table.rows) == MOST_LABELS
    assert "10 more: nnloop qa lists them." in table.caption
