"""Which cases are shown, and what is said of them when the world has changed since."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.pipeline.sync.reading import sync_project
from backend.report.cases.chosen import ChosenCase, least_sure, worst_cases
from backend.report.cases.examined import Examined, examined_of
from backend.report.sections.cases import cases_section, unsure_section
from backend.report.write import PAGE, ReportOptions, write_report
from backend.store import projects
from backend.store.models import TaskRow
from backend.store.training import versions
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import polygon
from tests.unit.backend.report.cases.served import serve


@pytest.fixture
def serving(app: FakeApp) -> FakeApp:
    serve(app)
    return app


def worst(app: FakeApp, n: int = 10) -> list[ChosenCase]:
    with app.store.read() as session:
        project, version = projects.get(session, PROJECT), versions.champion(session, PROJECT)
        assert version is not None
        return worst_cases(session, project, version, n)[0]


def changed(app: FakeApp) -> set[int]:
    return {one.task.id for one in worst(app) if one.is_changed}


def examined(app: FakeApp) -> Examined:
    return examined_of(app.context, PROJECT, 8, 60.0)


def test_the_worst_come_first_and_are_what_they_were(serving: FakeApp) -> None:
    assert [one.task.id for one in worst(serving)] == [2, 1, 3, 4]
    assert [one.task.id for one in worst(serving, 2)] == [2, 1]
    assert changed(serving) == set()


def test_an_annotation_that_is_another_is_called_so(serving: FakeApp) -> None:
    serving.label_studio.unlabel(3)
    serving.label_studio.label(3, polygon("wall"))
    sync_project(serving.context, PROJECT)
    assert changed(serving) == {3}
    told = cases_section(Examined("v", worst=examined(serving).worst)).blocks
    assert ["another now" in str(one.facts) for one in told] == [False, False, True, False]  # type: ignore[union-attr]


def test_another_reading_makes_every_label_another(serving: FakeApp) -> None:
    serving.change_settings(min_annotations=10_000, line_width_px=9.0)
    assert changed(serving) == {1, 2, 3, 4}


def test_what_is_gone_or_another_image_is_not_shown(serving: FakeApp) -> None:
    serving.label_studio.unlabel(1)
    del serving.label_studio.tasks[2]
    sync_project(serving.context, PROJECT)
    with serving.store.begin() as session:
        session.get_one(TaskRow, 3).source = "another image"
    assert [one.task.id for one in worst(serving)] == [4]
    found = examined(serving)
    assert found.n_judged == 1  # and what is gone is not counted
    assert "lowest Dice of 1 image whose" in cases_section(found).sentences[0]


def test_the_least_sure_are_those_nobody_has_labelled(serving: FakeApp) -> None:
    def unsure() -> list[int]:
        with serving.store.read() as session:
            version = versions.champion(session, PROJECT)
            assert version is not None
            return [one.task.id for one in least_sure(session, version, 5)]

    assert unsure() == [12, 11]
    serving.label_studio.label(12, polygon("lumen"))
    sync_project(serving.context, PROJECT)
    assert unsure() == [11]


def test_a_version_whose_files_are_gone_costs_the_pictures_only(
    serving: FakeApp, tmp_path: Path
) -> None:
    found = examined(serving)
    assert {one.pictures for one in (*found.worst, *found.unsure)} == {None}
    assert len({one.missing for one in (*found.worst, *found.unsure)}) == 1
    assert "No pictures of tasks 2, 1, 3, 4: " in cases_section(found).missing
    assert "No pictures of tasks 12, 11: " in unsure_section(found).missing
    assert write_report(serving.context, PROJECT, ReportOptions(tmp_path / "out")).exists()


def test_weights_that_were_removed_are_named(serving: FakeApp) -> None:
    with serving.store.begin() as session:
        version = versions.champion(session, PROJECT)
        assert version is not None
        version.pruned_at = 1.0
    assert "The weights of nnloop-v1 were removed" in cases_section(examined(serving)).missing


def test_no_cases_are_asked_for_and_none_examined(serving: FakeApp, tmp_path: Path) -> None:
    page = write_report(serving.context, PROJECT, ReportOptions(tmp_path, n_cases=0)).read_text()
    assert "none was asked for" in page
    assert "<article" not in page
    assert (tmp_path / PAGE).exists()


def test_why_ends_with_one_full_stop(app: FakeApp) -> None:
    """The note that goes out with a region has one already."""
    serve(app)
    with app.store.begin() as session:
        version = versions.champion(session, PROJECT)
        assert version is not None
        (case, *_) = least_sure(session, version, 1)
    from dataclasses import replace

    from backend.report.sections.cases import _expected

    assert _expected(replace(case, why="Unsure about wall."))[-1] == "Unsure about wall."


def test_what_is_left_is_shown_when_all_the_worst_are_gone(app: FakeApp) -> None:
    """Of 60 deleted tasks 36 were looked at, and the page said that no case has a truth."""
    from tests.unit.backend.pipeline.quality.pushed import entry_of, manifest_of
    from training.versions.metrics import VersionMetrics

    app.change_settings(min_annotations=10_000)
    for task_id in range(1, 71):
        app.label_studio.add_task(task_id)
        app.label_studio.label(task_id, polygon("lumen"))
    sync_project(app.context, PROJECT)
    entries = [entry_of(app, task_id) for task_id in range(1, 71)]
    metrics = VersionMetrics(
        labels=70, dice_per_case={one.case_id: {"lumen": one.task_id / 100} for one in entries}
    )
    app.add_version(manifest=manifest_of(entries), metrics=metrics)
    for task_id in range(1, 61):
        del app.label_studio.tasks[task_id]
    sync_project(app.context, PROJECT)
    with app.store.begin() as session:
        version = versions.champion(session, PROJECT)
        assert version is not None
        worst, _ = worst_cases(session, projects.get(session, PROJECT), version, 8)
    assert [one.task.id for one in worst] == list(range(61, 69))
