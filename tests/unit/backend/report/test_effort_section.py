"""The section of effort, from a real store."""

from __future__ import annotations

from active_learning.effort import Effort
from backend.report import html
from backend.report.figures import figures_of
from backend.report.section import Section, Table
from backend.report.sections.effort import MOST_LINES, effort_section
from backend.store.models import ProjectRow
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.quality.pushed import add_version
from tests.unit.backend.pipeline.quality.test_effort import (
    ANNA,
    BEN,
    DRAWN,
    EDITED,
    KEPT,
    add_efforts,
)


def section_of(app: FakeApp) -> Section:
    return effort_section(figures_of(app.context, PROJECT))


def tables_of(section: Section) -> list[Table]:
    assert all(isinstance(one, Table) for one in section.blocks)
    return [one for one in section.blocks if isinstance(one, Table)]


def test_before_the_first_correction_it_says_what_is_missing(app: FakeApp) -> None:
    assert not section_of(app).blocks
    add_efforts(app, 2, DRAWN, None)
    assert "2 annotations were drawn from nothing." in section_of(app).missing


def test_what_was_done_what_it_saved_and_who_accepts_too_much(app: FakeApp) -> None:
    version = add_version(app)
    add_efforts(app, 10, EDITED, version, annotator_id=BEN, lead_time_s=20.0, dice=0.8)
    add_efforts(app, 15, KEPT, version, annotator_id=ANNA, lead_time_s=4.0, dice=1.0)
    add_efforts(app, 6, DRAWN, None, annotator_id=ANNA, lead_time_s=100.0)
    section = section_of(app)
    assert not section.missing
    assert section.sentences[0] == (
        "15 of 25 predictions that people submitted were left as they were. 6 annotations were "
        "drawn from nothing."
    )
    assert (
        "saved 37m of 42m (90%), by the times of 6 annotations drawn from nothing"
        in section.sentences[1]
    )
    assert "over 25 annotations that began with a prediction" in section.sentences[1]
    assert "user 5 submitted 15 of 15 predictions unchanged" in section.points[0]
    by_version, by_class, by_annotator = tables_of(section)
    assert by_version.rows == [
        ("nnloop-v1", "25", "15 (60%)", "0.920", "4s", "10 / 0 / 0", "30 / 10 / 0 / 0")
    ]
    assert by_class.rows[0][:3] == ("lumen", "25", "15 (60%)")
    assert by_class.rows[0][4] == "-"
    assert [row[:3] for row in by_annotator.rows] == [
        ("user 5", "15", "15 (100%)"),
        ("user 6", "10", "0 (0%)"),
    ]


def test_many_are_counted_the_newest_versions_and_busiest_people_stay(app: FakeApp) -> None:
    for number in range(1, MOST_LINES + 6):
        n = 1 + number % 3
        add_efforts(app, n, KEPT, add_version(app, number), annotator_id=number)
    by_version, _, by_annotator = tables_of(section_of(app))
    assert len(by_version.rows) == len(by_annotator.rows) == MOST_LINES
    assert by_version.rows[-1][0] == f"nnloop-v{MOST_LINES + 5}"
    assert by_version.caption.endswith("5 more: nnloop effort lists them")
    assert by_annotator.rows[0][1] == "3"


def test_empty_images_and_a_name_with_markup(app: FakeApp) -> None:
    add_efforts(app, 6, {}, add_version(app), lead_time_s=3.0, n_regions=0, n_points=0)
    section = section_of(app)
    assert "saved 6s of 24s (25%)" in section.sentences[1]  # they are looked at all the same
    assert len(section.blocks) == 2  # of classes nothing is known
    add_efforts(app, 1, {"<b>wall": Effort(n_kept=1)}, 1)
    assert "<b>wall" not in html.fragment(section_of(app))


def test_the_learning_curve_knows_what_a_label_takes(app: FakeApp) -> None:
    assert figures_of(app.context, PROJECT).learning.seconds_per_label is None
    add_efforts(app, 5, EDITED, add_version(app), lead_time_s=42.0)
    with app.store.read() as session:
        assert session.get_one(ProjectRow, PROJECT).settings.least_gain_per_hour is None
    assert figures_of(app.context, PROJECT).learning.seconds_per_label == 42.0
