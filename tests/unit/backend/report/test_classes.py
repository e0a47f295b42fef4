"""The classes of the serving version in the report, few, many, and of some nothing is known."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence

import pytest

from backend.pipeline.progress.learning import Learning
from backend.report.charts.classes_chart import draw_classes
from backend.report.figures import ClassFigures, ReportFigures, VersionFigures, figures_of
from backend.report.section import Picture, Table
from backend.report.sections.versions import MOST_CLASSES, MOST_DRAWN, versions_section
from backend.store.models import VersionRow
from domain.states import VersionOrigin
from tests.fakes.app import PROJECT, FakeApp
from training.versions.metrics import VersionMetrics

SERVING = VersionFigures(
    name="nnloop-v1",
    standing="champion",
    labels=20,
    created_at=0.0,
    n=20,
    dice=0.8,
    standard_error=0.02,
    gate="",
    remark="",
    origin=VersionOrigin.TRAINED,
)


def of(*dice: float | None) -> tuple[ClassFigures, ...]:
    return tuple(
        ClassFigures(f"class {i:02d}", 0 if one is None else 9, one, None, 0.02)
        for i, one in enumerate(dice)
    )


def with_classes(classes: tuple[ClassFigures, ...]) -> ReportFigures:
    return ReportFigures(
        title="Carotid",
        made_at=0.0,
        synced_at=None,
        n_tasks=40,
        n_labelled=20,
        waiting_for="",
        learning=Learning(),
        serving=SERVING,
        classes=classes,
        versions=(SERVING,),
    )


def shown(classes: tuple[ClassFigures, ...]) -> tuple[list[Picture], Table]:
    blocks = versions_section(with_classes(classes)).blocks
    tables = [one for one in blocks if isinstance(one, Table) and one.columns[0] == "Class"]
    return [one for one in blocks if isinstance(one, Picture)], tables[0]


def test_the_worst_is_first_and_the_unknown_last() -> None:
    pictures, table = shown(of(0.9, None, 0.5))
    assert pictures == []
    assert [row[:3] for row in table.rows] == [
        ("class 02", "0.500", "9"),
        ("class 00", "0.900", "9"),
        ("class 01", "-", "0"),
    ]


def test_without_any_known_class_there_is_no_chart() -> None:
    pictures, table = shown(of(*[None] * 10))
    assert pictures == [] and len(table.rows) == 10


def test_forty_classes_are_drawn_and_the_worst_listed() -> None:
    dice = [0.5 + i / 100 for i in range(40)]
    (picture,), table = shown(of(*reversed(dice)))
    assert picture.alt == (
        "Mean Dice of 40 classes of nnloop-v1: 0.50 of class 39 to 0.89 of class 00."
    )
    assert [row[0] for row in table.rows] == [f"class {39 - i:02d}" for i in range(MOST_CLASSES)]
    assert table.caption.endswith("those found worst first, 20 more are not listed")
    assert "not drawn" not in picture.caption and "one image" not in picture.caption


def test_a_class_that_one_image_shows_is_marked_as_such() -> None:
    alone = ClassFigures("alone", 1, 0.4, 1)
    (picture,), table = shown((*of(0.9, 0.8, 0.7), alone))
    assert picture.caption.endswith("Hollow points are of one image.")
    assert table.rows[0] == ("alone", "0.400", "1", "1")
    n_hollow = [svg(some).count("fill: #ffffff") for some in ([alone], of(0.4))]
    assert n_hollow[0] == n_hollow[1] + 1


@pytest.mark.slow
def test_of_hundreds_the_worst_are_drawn() -> None:
    (picture,), _ = shown(of(*[0.7] * 300))
    assert f"{300 - MOST_DRAWN} better ones are not drawn" in picture.caption


def test_every_class_has_a_row_of_its_own_in_the_chart() -> None:
    def height(n: int) -> float:
        (found,) = re.findall(r'<svg[^>]* height="([0-9.]+)pt"', svg(of(*[0.5] * n)))
        return float(found)

    rows = (height(40) - height(10)) / 30
    assert rows == pytest.approx(15.1, abs=0.5)  # points: letters of 10 or 11


def svg(classes: Sequence[ClassFigures]) -> str:
    return base64.b64decode(draw_classes(classes).partition(",")[2]).decode()


@pytest.mark.filterwarnings("error")
def test_names_in_any_script_stay_text() -> None:
    chart = svg([ClassFigures(name, 1, 1.0, None) for name in ("$x_{", "a" * 30, "<b>&", "血管")])
    shown = [html.unescape(one) for one in re.findall(r"<text[^>]*>([^<]*)</text>", chart)]
    assert {"$x_{", f"{'a' * 21}...", "<b>&", "血管"} <= set(shown)


def test_errors_are_those_of_the_images_that_show_a_class(app: FakeApp) -> None:
    per_case: dict[str, dict[str, float | None]] = {
        "a": {"lumen": 0.8, "wall": 0.6},
        "b": {"lumen": 0.6, "wall": None},
    }
    metrics = VersionMetrics(
        labels=2,
        oof_dice={"lumen": 0.7, "wall": 0.6, "plaque": None},
        dice_per_case=per_case,
        cases_of_class={"lumen": 2},
    )
    with app.store.begin() as session:
        session.get_one(VersionRow, app.add_version(1)).metrics = metrics
    lumen, wall, plaque = figures_of(app.context, PROJECT).classes
    assert (lumen.n, lumen.n_trained) == (2, 2)
    assert lumen.standard_error == pytest.approx(0.1)  # sd 0.141 / sqrt 2
    assert (wall.n, wall.standard_error, wall.n_trained) == (1, None, None)
    assert (plaque.n, plaque.dice, plaque.standard_error) == (0, None, None)
