from __future__ import annotations

import pytest

from backend.pipeline.models.serving import pin, promote, rollback
from backend.pipeline.models.version_report import version_reports
from backend.pipeline.predictions.publish import publish
from backend.pipeline.runs import reconcile
from backend.queue import JobName
from backend.store.models import ProjectRow, VersionRow
from backend.store.tasks import predictions
from backend.store.training import versions
from domain.errors import SettingsError, StackError
from domain.states import VersionStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.models.versions import add_version, predict


def _serving(app: FakeApp) -> str:
    with app.store.begin() as session:
        champion = versions.champion(session, PROJECT)
        assert champion is not None
        return champion.name


def _status(app: FakeApp, version_id: int) -> VersionStatus:
    with app.store.begin() as session:
        return VersionStatus(session.get_one(VersionRow, version_id).status)


def _held(app: FakeApp) -> set[tuple[int, str]]:
    return {(row.task_id, row.model_version) for row in app.label_studio.predictions}


def test_a_rollback_swaps_the_published_predictions(app: FakeApp) -> None:
    app.add_tasks(1, 2, 3)
    first = add_version(app, 1)
    predict(app, first, 1, 2)
    publish(app.context, PROJECT)
    second = add_version(app, 2)
    predict(app, second, 1, 2, 3)
    publish(app.context, PROJECT)
    assert _held(app) == {(task, "nnloop-v2") for task in (1, 2, 3)}
    change = rollback(app.context, PROJECT)
    assert (change.version, change.before) == ("nnloop-v1", "nnloop-v2")
    assert (change.to_push, change.to_score, change.is_queued) == (2, 1, True)
    assert app.jobs[-1] == ("score", (PROJECT, 0))
    assert _status(app, second) == VersionStatus.REJECTED
    with app.store.begin() as session:
        standings = [report.standing for report in version_reports(session, PROJECT)]
    assert standings == ["champion", "rolled back"]
    # Task 3 is not scored yet: annotators keep what they had.
    publish(app.context, PROJECT)
    assert (3, "nnloop-v2") in _held(app) and (1, "nnloop-v1") in _held(app)
    predict(app, first, 3)
    publish(app.context, PROJECT)
    assert _held(app) == {(task, "nnloop-v1") for task in (1, 2, 3)}
    assert app.label_studio.info.model_version == "nnloop-v1"
    with app.store.begin() as session:
        # Label Studio holds none of version 2 any more, and the store says so.
        assert predictions.counts(session, second) == (3, 0, 0)


def test_going_back_twice_goes_further_back(app: FakeApp) -> None:
    for number in (1, 2, 3):
        add_version(app, number)
    rollback(app.context, PROJECT)
    assert _serving(app) == "nnloop-v2"
    rollback(app.context, PROJECT)
    assert _serving(app) == "nnloop-v1"
    with pytest.raises(SettingsError, match="No other version has served"):
        rollback(app.context, PROJECT)
    # A later version that the gate lets through, and back again: to the one before it.
    add_version(app, 4)
    rollback(app.context, PROJECT)
    assert _serving(app) == "nnloop-v1"
    rollback(app.context, PROJECT, "nnloop-v4")
    assert _serving(app) == "nnloop-v4"


def test_promoting_by_hand_goes_past_the_gate(app: FakeApp) -> None:
    first = add_version(app, 1)
    second = add_version(app, 2)
    promote(app.context, "nnloop-v1")
    assert (_serving(app), _status(app, second)) == ("nnloop-v1", VersionStatus.RETIRED)
    assert _status(app, first) == VersionStatus.CHAMPION
    with pytest.raises(SettingsError, match="serves already"):
        promote(app.context, "nnloop-v1")
    with pytest.raises(SettingsError, match="no version 'v9'"):
        promote(app.context, "v9")


def test_with_the_queue_down_the_next_tick_makes_the_change(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.add_tasks(1)
    predict(app, add_version(app, 1), 1)
    predict(app, add_version(app, 2, published_at=1.0), 1)

    def down(*_: object) -> bool:
        raise StackError("Redis does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(app.queue, "ensure", down)
        assert not promote(app.context, "nnloop-v1").is_queued
    assert _serving(app) == "nnloop-v1"
    app.queue.asked.clear()
    reconcile.tick(app.context)
    assert (JobName.PUBLISH, (PROJECT,)) in app.queue.asked


def test_what_a_version_in_new_service_has_not_seen_is_scored_before_it_is_pushed(
    app: FakeApp,
) -> None:
    app.add_tasks(1)
    add_version(app, 1)
    add_version(app, 2, published_at=1.0)
    promote(app.context, "nnloop-v1")
    app.queue.asked.clear()
    reconcile.tick(app.context)
    assert (JobName.SCORE, (PROJECT, 0)) in app.queue.asked
    assert (JobName.PUBLISH, (PROJECT,)) not in app.queue.asked


def test_a_pruned_version_can_not_serve(app: FakeApp) -> None:
    add_version(app, 1, pruned_at=1.0)
    add_version(app, 2)
    for change in (
        lambda: promote(app.context, "nnloop-v1"),
        lambda: rollback(app.context, PROJECT, "nnloop-v1"),
        lambda: pin(app.context, "nnloop-v1", is_pinned=True),
    ):
        with pytest.raises(SettingsError, match="was pruned") as caught:
            change()
        assert "keep_versions" in caught.value.remedy
    with pytest.raises(SettingsError, match="No other version"):
        rollback(app.context, PROJECT)
    assert _serving(app) == "nnloop-v2"


def test_a_version_of_other_labels_can_not_serve(app: FakeApp) -> None:
    add_version(app, 1, classes=("plaque",))
    add_version(app, 2)
    with pytest.raises(SettingsError, match="knows the labels plaque"):
        promote(app.context, "nnloop-v1")
    assert _serving(app) == "nnloop-v2"


def test_a_name_that_two_projects_have_needs_the_project(app: FakeApp) -> None:
    add_version(app, 1)
    add_version(app, 2)
    with app.store.begin() as session:
        session.add(ProjectRow(id=2, title="Veins"))
        session.add(VersionRow(project_id=2, name="nnloop-v1", path="/elsewhere"))
    with pytest.raises(SettingsError, match="Projects 1, 2 each have") as caught:
        promote(app.context, "nnloop-v1")
    assert "--project" in caught.value.remedy
    assert promote(app.context, "nnloop-v1", PROJECT).version == "nnloop-v1"
