"""What `nnloop models show` says of how a version was trained."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from active_learning.calibration import Calibration
from backend.cli.views.models_view import print_details, why_numbered
from backend.pipeline.models.details import version_details
from backend.pipeline.models.version_report import version_reports
from backend.store.models import VersionRow
from converters.bookkeeping.documents import to_json
from converters.bookkeeping.files import write_json
from domain.reliability import Reliability
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.models.versions import add_version, manifest_of
from training.symmetries.symmetries import Symmetries
from training.versions import working_size
from training.versions.manifests import RunManifest
from training.versions.working_size import WorkingSize


def _shown(
    app: FakeApp,
    capsys: pytest.CaptureFixture[str],
    manifest: RunManifest,
    size: WorkingSize | None,
) -> dict[str, str]:
    add_version(app, 1, manifest=manifest)
    if size is not None:
        plans = app.context.workspace(PROJECT).version_dir("nnloop-v1") / "plans.json"
        plans.unlink()
        write_json(plans, {working_size.KEY: to_json(WorkingSize, size)})
    print_details(version_details(app.context, "nnloop-v1", PROJECT), n_annotations=0)
    lines = capsys.readouterr().out.splitlines()
    return {
        name: value.strip()
        for name, colon, value in (line.partition(":") for line in lines)
        if colon
    }


def test_what_was_decided_about_flips_is_said_with_its_reason(
    app: FakeApp, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = replace(
        manifest_of((1, "a", "p")),
        symmetries=Symmetries((0,), (), 15.0, ("Not flipped left to right: so it is.", "Turned.")),
    )
    shown = _shown(app, capsys, manifest, None)
    assert shown["Flips and turns"] == "Not flipped left to right: so it is. Turned."


def test_why_the_first_version_is_not_called_one(app: FakeApp) -> None:
    def said() -> str:
        with app.store.read() as session:
            return why_numbered(version_reports(session, PROJECT))

    assert said() == ""
    add_version(app, 2)
    assert said() == "A version has the number of its run; run 1 made none (nnloop runs)."
    with app.store.read() as session:
        there = "nnloop runs 1 --data-dir lab"
        assert f"({there})" in why_numbered(version_reports(session, PROJECT), there)
    app.add_imported("mine")
    add_version(app, 9)
    assert "runs 1, 3, 4 and 4 more made none" in said()
    for number in (1, *range(3, 9)):
        add_version(app, number)
    assert said() == ""


def test_where_nothing_is_left_out_that_is_said_too(
    app: FakeApp, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = _shown(app, capsys, manifest_of((1, "a", "p")), None)
    assert shown["Flips and turns"].startswith("All flips and turns")
    assert "Working size" not in shown  # plans that were made elsewhere


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (
            WorkingSize(584, 128, {1: 0.61234, 2: 0.98}),
            "128 of 584 pixels on the longest side; at most these Dice can be reached there: "
            "lumen 0.612, wall 0.980",
        ),
        (
            WorkingSize(584, 584, {1: 1.0}),
            "as the images are: the median has 584 pixels on its longest side",
        ),
    ],
)
def test_what_the_working_size_costs_is_said(
    app: FakeApp, capsys: pytest.CaptureFixture[str], size: WorkingSize, said: str
) -> None:
    assert _shown(app, capsys, manifest_of((1, "a", "p")), size)["Working size"] == said


def test_how_far_scores_can_be_believed_is_said_with_its_numbers(
    app: FakeApp, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = _shown(app, capsys, manifest_of((1, "a", "p")), None)
    assert shown["Scores"].startswith("not calibrated")
    few = Reliability(7, bias=-0.031)
    many = Reliability(40, 0.012, 0.03, 0.71, 0.92, 0.051, 0.9, 40)
    with app.store.begin() as session:
        (version,) = session.query(VersionRow)
        version.calibration = Calibration(n=47)
        version.metrics = replace(version.metrics, reliability={"corrected": few, "held out": many})
    print_details(version_details(app.context, "nnloop-v1", PROJECT), n_annotations=0)
    said = capsys.readouterr().out
    assert "calibrated on 47 honest pairs" in said
    (row,) = [line for line in said.splitlines() if line.startswith("held out ")]
    cells = re.split(r" {2,}", row)
    assert cells == ["held out", "40", "+0.012", "0.030", "0.710", "0.920", "0.051", "90%"]
    (row,) = [line for line in said.splitlines() if line.startswith("corrected")]
    assert re.split(r" {2,}", row) == [
        "corrected", "7", "-0.031", "-", "-", "-", "-", "-",
    ]  # fmt: skip
