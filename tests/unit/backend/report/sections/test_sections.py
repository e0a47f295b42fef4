"""What each section says of little, of nothing, and of much."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from active_learning.control_arm import Estimate
from backend.pipeline.progress.learning import PoolPoint
from backend.pipeline.quality.calibrate import CORRECTED, HELD_OUT, ScorePair
from backend.report import html
from backend.report.cases.examined import Examined
from backend.report.figures import MOST_VERSIONS, ClassFigures, ReportFigures
from backend.report.section import Card, Legend, Picture, Section, Table
from backend.report.sections.cases import cases_section, unsure_section
from backend.report.sections.control import control_section
from backend.report.sections.learning import learning_section
from backend.report.sections.reliability import reliability_section
from backend.report.sections.summary import summary_section
from backend.report.sections.versions import versions_section
from backend.report.write import sections_of, subtitle_of
from domain.states import VersionOrigin
from tests.fakes.report import (
    LONG,
    MADE_AT,
    control_arm,
    everything_known,
    examined,
    learning,
    nothing_known,
    pairs,
    version,
)

SECTIONS: Sequence[Callable[[ReportFigures], Section]] = (
    summary_section,
    learning_section,
    versions_section,
    reliability_section,
    control_section,
)


def words(section: Section) -> str:
    """All that a section says, as people read it."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html.fragment(section)))


def svg(section: Section) -> str:
    """The chart of a section."""
    (chart,) = (one for one in section.blocks if isinstance(one, Picture))
    return base64.b64decode(chart.source.split("base64,")[1]).decode()


@pytest.mark.parametrize("of", SECTIONS)
def test_of_nothing_a_section_says_what_is_missing(
    of: Callable[[ReportFigures], Section],
) -> None:
    section = of(nothing_known())
    assert section.missing and not section.blocks and not section.tiles
    assert "nan" not in words(section).lower() and "None" not in words(section)


@pytest.mark.parametrize("of", SECTIONS)
def test_of_everything_nothing_is_missing(of: Callable[[ReportFigures], Section]) -> None:
    section = of(everything_known())
    assert not section.missing
    assert "nan" not in words(section).lower() and "None" not in words(section)


@pytest.mark.parametrize("figures", [nothing_known(), everything_known()])
def test_every_section_has_an_anchor_of_its_own(figures: ReportFigures) -> None:
    keys = [one.key for one in sections_of(figures, Examined())]
    assert len(set(keys)) == len(keys)
    assert all(re.fullmatch(r"[a-z-]+", key) for key in keys)


def test_a_project_that_was_not_read_yet_says_so() -> None:
    assert subtitle_of(nothing_known()).endswith("Label Studio has not been read yet.")
    assert "on what was read from Label Studio at 20" in subtitle_of(
        replace(nothing_known(), synced_at=MADE_AT)
    )


def test_one_version_is_a_point_without_a_band() -> None:
    section = learning_section(replace(nothing_known(), learning=learning(1)))
    assert section.missing.startswith("What more labels would give can't be told yet: it takes two")
    assert "more would probably add" not in words(section)
    assert "NaN" not in svg(section) and "nan" not in svg(section)
    (table,) = (one for one in section.blocks if isinstance(one, Table))
    assert len(table.rows) == 1


def test_gains_are_one_sentence_and_end_where_the_images_do() -> None:
    figures = replace(nothing_known(), learning=learning(3), n_tasks=100, n_labelled=30)
    said = words(learning_section(figures))
    assert re.search(
        r"20 more would probably add 0\.\d+ \([^)]*\) to the mean Dice, 50 more 0\.", said
    )
    assert "The project has 70 images left to label." in said
    assert "left to label" not in words(learning_section(replace(figures, n_tasks=1000)))


def test_a_wide_interval_of_few_images_does_not_flatten_the_curve() -> None:
    """The lowest tick stays near the versions, though the control arm's interval ends at 0."""
    known = replace(learning(3), pool=(PoolPoint("nnloop-v1", 10, Estimate(2, 0.8, 0.0, 1.0)),))
    narrow = replace(known, pool=(PoolPoint("nnloop-v1", 10, Estimate(2, 0.8, 0.55, 1.0)),))
    charts = [
        svg(learning_section(replace(nothing_known(), learning=one))) for one in (known, narrow)
    ]
    ticks = [re.findall(r"<!-- (0\.\d|1\.0) -->", one) for one in charts]
    assert ticks[0] == ticks[1] and ticks[0]


@pytest.mark.parametrize(
    ("n", "told"),
    [
        (1, "1 problem of the project is open; nnloop status names it."),
        (2, "2 problems of the project are open; nnloop status names them."),
    ],
)
def test_problems_are_counted(n: int, told: str) -> None:
    assert told in summary_section(replace(everything_known(), n_problems=n)).points


def test_many_versions_left_out_are_counted_by_reason() -> None:
    said = words(learning_section(everything_known()))
    assert said.count("another preset") == 1
    assert "and 7 more (another preset)" in said


def test_an_imported_version_has_no_labels_and_no_dice_of_its_own() -> None:
    imported = version(n=0, dice=None, standard_error=None, origin=VersionOrigin.IMPORTED)
    figures = replace(nothing_known(), serving=imported, versions=(imported,))
    section = summary_section(figures)
    assert "It was trained elsewhere" in words(section)
    assert "no image was held out" in words(section)
    assert [tile.of for tile in section.tiles] == []
    (row,) = versions_section(figures).blocks[-1].rows  # type: ignore[union-attr]
    assert row[1:4] == ("-", "-", "0")


def test_one_held_out_image_has_no_interval() -> None:
    figures = replace(nothing_known(), serving=version(n=1, dice=0.8, standard_error=None))
    section = summary_section(figures)
    assert "the mean Dice of an image is 0.80. Dice says" in words(section)
    assert section.tiles[0].of == "mean Dice on 1 held-out image"
    assert any("Only 1 image was held out" in one for one in section.points)


def test_the_first_figures_carry_their_intervals() -> None:
    tiles = summary_section(everything_known()).tiles
    assert [tile.figure for tile in tiles][:2] == ["0.80", "0.82"]
    assert tiles[0].of == "mean Dice on 20 held-out images (0.77 to 0.83)"
    assert tiles[1].of == "mean Dice on the whole (0.76 to 0.88), by 40 images that chance drew"


def test_a_class_that_no_held_out_image_shows_is_a_dash_and_a_doubt() -> None:
    figures = replace(
        nothing_known(),
        serving=version(),
        versions=(version(),),
        classes=(ClassFigures("lumen", 20, 0.9, 20), ClassFigures("plaque", 0, None, None)),
    )
    table = versions_section(figures).blocks[0]
    assert isinstance(table, Table)
    assert table.rows[1] == ("plaque", "-", "0", "-")
    assert any(
        "How well plaque would be found is not known" in p for p in summary_section(figures).points
    )


def test_of_forty_classes_the_weak_and_the_unseen_are_a_few_lines() -> None:
    classes = [ClassFigures(f"c{i:02d}", 9, 0.9 if i < 20 else 0.01 * i, 9) for i in range(30)]
    classes += [ClassFigures(f"c{i:02d}", 0, None, None) for i in range(30, 40)]
    figures = replace(nothing_known(), serving=version(), classes=tuple(classes))
    points = summary_section(figures).points
    assert [one.split(":")[0] for one in points] == [
        "c20 is found badly",
        "c21 is found badly",
        "c22 is found badly",
        "Found badly too",
        "How well c30, c31, c32 and 7 more would be found is not known",
    ]
    assert "7 more classes" in points[3]


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_pairs_are_points_and_dashes(n: int) -> None:
    figures = replace(nothing_known(), serving=version(), scores={HELD_OUT: pairs(n)})
    section = reliability_section(figures)
    (table,) = (one for one in section.blocks if isinstance(one, Table))
    assert table.rows[0][:2] == ("held out", str(n))
    assert "nan" not in str(table.rows) and "nan" not in svg(section)


def test_pairs_without_intervals_have_no_coverage() -> None:
    bare = tuple(ScorePair(0.8, 0.7 + i / 100, None, None) for i in range(20))
    section = reliability_section(replace(nothing_known(), scores={CORRECTED: bare}))
    (table,) = (one for one in section.blocks if isinstance(one, Table))
    assert table.rows[0][-1] == "-"


def test_scores_that_rank_backwards_are_doubted() -> None:
    backwards = tuple(ScorePair(1 - i / 40, i / 40, None, None) for i in range(40))
    figures = replace(nothing_known(), serving=version(), scores={HELD_OUT: backwards})
    told = "Scores hardly tell which images are worst, on 40 images (held out)"
    assert any(told in one for one in summary_section(figures).points)
    good = replace(figures, scores={HELD_OUT: pairs(40)})
    assert not any("hardly tell" in one for one in summary_section(good).points)


@pytest.mark.parametrize(
    ("pays", "said"),
    [(True, "it pays"), (False, "it does not pay"), (None, "too few images yet to tell")],
)
def test_the_control_arm_says_whether_it_pays(pays: bool | None, said: str) -> None:
    section = control_section(replace(nothing_known(), control_arm=control_arm(pays)))
    assert said in words(section)
    assert not section.missing


def test_an_interval_below_0_does_not_include_it() -> None:
    arm = control_arm(False)
    assert arm.gain is not None
    for high, said in ((-0.01, "interval lies below 0: it does not pay."), (0.02, "includes 0:")):
        gain = arm.gain.model_copy(update={"mean": -0.05, "low": -0.1, "high": high})
        figures = replace(nothing_known(), control_arm=arm.model_copy(update={"gain": gain}))
        assert said in words(control_section(figures))


def test_what_rounds_to_nothing_is_neither_more_nor_less() -> None:
    arm = control_arm(None)
    assert arm.gain is not None
    gain = arm.gain.model_copy(update={"mean": -0.001, "low": -0.002, "high": 0.001})
    figures = replace(nothing_known(), control_arm=arm.model_copy(update={"gain": gain}))
    told = words(control_section(figures))
    assert "as much to correct per label as chance (90 % interval 0.00 to 0.00)" in told


def test_chance_alone_has_no_chart() -> None:
    alone = control_arm().model_copy(update={"gain": None})
    section = control_section(replace(nothing_known(), control_arm=alone))
    assert section.missing and not section.blocks
    assert "0.82 (0.76 to 0.88)" in words(section)


def test_cases_without_pictures_are_named_with_the_reason() -> None:
    found = examined(8, n_without=3)
    section = cases_section(found)
    assert section.missing == "No pictures of tasks 5, 6, 7: Label Studio does not answer."
    shown = [len(one.pictures) for one in section.blocks if isinstance(one, Card)]
    assert shown == [4, 4, 4, 4, 4, 0, 0, 0]
    assert unsure_section(found).missing == ""
    told = repr(unsure_section(found))
    assert "Folds disagree on wall." in told and ".." not in told.replace("...", "")
    many = cases_section(examined(40, n_without=30))
    assert "and 20 more: Label Studio" in many.missing


def test_a_reason_of_one_case_is_told_of_that_one() -> None:
    found = examined(2)
    torn = replace(found.worst[1], pictures=None, missing="its image is no image.")
    said = cases_section(replace(found, worst=(found.worst[0], torn))).missing
    assert said == "No pictures of task 1: its image is no image."


def test_of_many_classes_the_worst_are_told() -> None:
    card = cases_section(examined()).blocks[1]
    assert isinstance(card, Card)
    assert card.facts[1].startswith("By class: class 0 0.00, class 1 0.03,")
    assert card.facts[1].endswith("and 32 better classes.")


def test_pictures_have_a_legend_and_say_that_nothing_is_annotated() -> None:
    found = examined(1)
    (only,) = found.worst
    assert only.pictures is not None
    empty = replace(only, pictures=replace(only.pictures, is_truth_empty=True))
    legend, card = cases_section(replace(found, worst=(empty,))).blocks
    assert isinstance(legend, Legend) and legend.colors[1] == (LONG, "#f4a261")
    assert isinstance(card, Card)
    assert [one.caption for one in card.pictures] == [
        "Image",
        "Annotation: nothing",
        "Prediction",
        "Uncertainty",
    ]


def test_tables_are_bounded() -> None:
    """Those of versions by a limit; those of classes are as long as the project has classes."""
    many = everything_known(40, MOST_VERSIONS)
    for section in sections_of(many, examined()):
        for block in section.blocks:
            if isinstance(block, Table):
                assert len(block.rows) <= 40
                assert {len(row) for row in block.rows} == {len(block.columns)}


def test_of_few_images_that_chance_drew_there_are_no_figures() -> None:
    whole = control_arm()
    few = whole.quality.model_copy(update={"n": 2, "mean": 0.97})
    arm = whole.model_copy(update={"quality": few, "n_waiting": 4})
    figures = replace(everything_known(), control_arm=arm)
    told = words(summary_section(figures))
    assert "is not known yet: 2 of 10 labels drawn by chance are there, and 4 more labels" in told
    assert "0.97" not in told and "Choosing images" not in told
    assert not any("chance drew" in tile.of for tile in summary_section(figures).tiles)
    section = control_section(figures)
    assert not section.blocks and "0.97" not in words(section)
    assert section.missing.endswith("and 4 more labels in batches that are not done.")
    assert "Not counted: 4 labels in batches" in words(
        control_section(replace(figures, control_arm=whole.model_copy(update={"n_waiting": 4})))
    )


def test_two_versions_have_no_headline_gain() -> None:
    two = replace(everything_known(), learning=learning(2))
    assert "(two versions tell little: a third will tell more)" in words(summary_section(two))
    assert not any("more labels, probably" in tile.of for tile in summary_section(two).tiles)
    assert "Two versions tell little" in words(learning_section(two))
    three = replace(two, learning=learning(3))
    assert any("more labels, probably" in tile.of for tile in summary_section(three).tiles)
    assert "tell little" not in words(learning_section(three))


def test_images_are_counted_in_whole_numbers() -> None:
    known = replace(learning(1), pool=(PoolPoint("v1", 12, Estimate(2, 0.8, 0.5, 1.0)),))
    one = replace(known, versions=(replace(known.versions[0], labels=11),))
    ticks = re.findall(
        r"<!-- ([\d.]+) -->", svg(learning_section(replace(nothing_known(), learning=one)))
    )
    assert ticks and not [tick for tick in ticks if float(tick) > 1 and "." in tick]
