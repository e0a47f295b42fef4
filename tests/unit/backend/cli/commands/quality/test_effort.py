from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from active_learning.effort import Effort
from backend.cli.main import app as program
from backend.pipeline.status import project_report
from backend.store import projects
from domain.errors import NotConnectedError
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


@pytest.fixture(autouse=True)
def _here(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.cli.shared.context", lambda _data_dir: app.context)
    monkeypatch.setattr("backend.cli.commands.projects.context", lambda _data_dir: app.context)


def _run(*arguments: str, columns: int = 140) -> Result:
    return CliRunner().invoke(program, list(arguments), env={"COLUMNS": str(columns)})


def _busy(app: FakeApp) -> None:
    version = add_version(app)
    add_efforts(app, 10, EDITED, version, annotator_id=BEN, lead_time_s=20.0, dice=0.8)
    add_efforts(app, 15, KEPT, version, annotator_id=ANNA, lead_time_s=4.0, dice=1.0)
    add_efforts(app, 6, DRAWN, None, annotator_id=ANNA, lead_time_s=100.0)


def test_it_says_so_when_nothing_is_known(app: FakeApp) -> None:
    assert _run("effort", "1").output == "Nobody has submitted a prediction of nnloop's yet.\n"
    add_efforts(app, 2, DRAWN, None)
    assert "yet; 2 annotations were drawn from nothing." in _run("effort", "1").output
    found = json.loads(_run("effort", "1", "--json").stdout)
    assert (found["corrected"], found["drawn_from_nothing"], found["saved"]) == (0, 2, None)
    assert "Effort" not in _run("status", "1").output
    assert project_report(app.context, PROJECT).effort is None


def test_tables_hours_and_warnings(app: FakeApp) -> None:
    _busy(app)
    answer = _run("effort", "1")
    assert answer.exit_code == 0, answer.output
    rows = [" ".join(line.split()) for line in answer.output.splitlines()]
    assert "nnloop-v1 25 15 (60%) 0.920 4s 15 / 10 / 0 / 0 30 / 10 / 0 / 0" in rows
    assert "lumen 25 15 (60%) - 15 / 10 / 0 / 0 30 / 10 / 0 / 0" in rows
    assert "user 5 15 15 (100%) 1.000 4s 15 / 0 / 0 / 0 0 / 0 / 0 / 0" in rows
    # 25 times 100 s less 10 times 20 s and 15 times 4 s.
    assert (
        "Saved: 37m of 42m (90%), by the times of 6 annotations drawn from nothing; saved share "
        in (answer.output)
    )
    assert "Beside these, 6 annotations were drawn from nothing." in answer.output
    assert "Look: user 5 submitted 15 of 15 predictions unchanged" in answer.output


def test_what_was_drawn_without_a_time_is_told_apart(app: FakeApp) -> None:
    _busy(app)
    add_efforts(app, 2, DRAWN, None, annotator_id=ANNA, lead_time_s=0.0)
    said = " ".join(_run("effort", "1").output.split())
    assert "by the times of 6 annotations drawn from nothing; " in said
    assert (
        "Beside these, 8 annotations were drawn from nothing, 2 of them without a time that says "
        "how long drawing takes: Label Studio counted none or more than 30m, or nothing is drawn "
        "in it." in said
    )


def test_json(app: FakeApp) -> None:
    _busy(app)
    found = json.loads(_run("effort", "1", "--json").stdout)
    (version,) = found["versions"]
    assert (version["name"], version["n"], version["n_unchanged"]) == ("nnloop-v1", 25, 15)
    assert version["n_edited"] == 10
    assert version["effort"]["points_moved"] == 30
    assert found["saved"]["saved_s"] == pytest.approx(25 * 100 - 10 * 20 - 15 * 4)
    assert found["saved"]["low_s"] < found["saved"]["saved_s"] < found["saved"]["high_s"]
    assert len(found["warnings"]) == 1


def test_status_says_it_in_a_line(app: FakeApp) -> None:
    _busy(app)
    answer = " ".join(_run("status", "1").output.split())
    assert (
        "Effort: 15 of 25 predictions submitted unchanged; saved 37m of 42m (90%), by the times "
        "of 6 annotations drawn from nothing" in answer
    )
    assert "user 5 submitted 15 of 15 predictions unchanged" in answer
    report = json.loads(_run("status", "1", "--json").stdout)["projects"][0]["effort"]
    assert report["n_drawn"] == 6
    assert len(report["warnings"]) == 1


def test_correcting_that_takes_longer_is_said(app: FakeApp) -> None:
    version = add_version(app)
    add_efforts(app, 6, EDITED, version, lead_time_s=300.0)
    add_efforts(app, 6, DRAWN, None, lead_time_s=100.0)
    assert "correcting took 20m longer than drawing anew (10m)" in _run("effort", "1").output


def test_empty_images_have_nothing_to_draw(app: FakeApp) -> None:
    version = add_version(app)
    add_efforts(app, 6, {}, version, lead_time_s=3.0, n_regions=0, n_points=0)
    answer = _run("effort", "1")
    assert answer.exit_code == 0, answer.output
    assert "6 (100%)" in answer.output


def test_markup_in_a_name_is_none(app: FakeApp) -> None:
    version = add_version(app)
    add_efforts(app, 1, {"[red]wall": Effort(n_kept=1)}, version)
    assert "[red]wall" in _run("effort", "1").output


def test_a_project_that_is_not_connected(app: FakeApp) -> None:
    assert isinstance(_run("effort", "77").exception, NotConnectedError)
    with app.store.read() as session:
        assert projects.all_ids(session) == [PROJECT]
