from __future__ import annotations

import pytest

from backend.pipeline.basis.run_settings import run_settings
from backend.pipeline.sync import trigger
from backend.settings import ProjectSettings
from backend.store.models import ProjectRow, RunRow
from backend.store.tasks import snapshots
from domain.annotation import Annotation, Task
from domain.errors import SettingsError
from domain.states import RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import CONFIG


@pytest.mark.parametrize(
    ("labelled", "changed", "has_run", "is_due"),
    [
        (0, 0, False, False),
        (9, 9, False, False),  # one short of the first training
        (10, 10, False, True),
        (10, 0, False, True),  # the first one asks for no change
        (12, 4, True, False),
        (12, 5, True, True),
        (9, 5, True, False),  # so many were deleted that a first training would not start either
    ],
)
def test_decide(labelled: int, changed: int, has_run: bool, is_due: bool) -> None:
    settings = ProjectSettings(min_annotations=10, retrain_after=5)
    decision = trigger.decide(trigger.SinceLastRun(labelled, changed, has_run), settings)
    assert decision.is_due is is_due
    assert decision.reason


def _label(app: FakeApp, *task_ids: int, text: str = "") -> None:
    with app.store.begin() as session:
        tasks = [Task(i, PROJECT, {}, (Annotation(i, i, [{"x": text}]),)) for i in task_ids]
        snapshots.write_tasks(session, PROJECT, tasks)


def _start_if_due(app: FakeApp) -> RunRow | None:
    with app.store.begin() as session:
        return trigger.start_if_due(session, PROJECT)[0]


def _finish(app: FakeApp, run: RunRow, status: RunStatus = RunStatus.DONE) -> None:
    with app.store.begin() as session:
        session.get_one(RunRow, run.id).status = status


def test_what_is_annotated_drives_the_runs(app: FakeApp) -> None:
    app.change_settings(min_annotations=3, retrain_after=2, preset="tiny")
    _label(app, 1, 2)
    assert _start_if_due(app) is None
    _label(app, 3)
    first = _start_if_due(app)
    assert first is not None and first.settings.preset == "tiny"
    assert set(first.candidates) == {1, 2, 3}
    _label(app, 4, 5)
    assert _start_if_due(app) is None  # one is active
    _finish(app, first)
    second = _start_if_due(app)  # what came meanwhile is in the next
    assert second is not None and set(second.candidates) == {1, 2, 3, 4, 5}
    _finish(app, second)
    assert _start_if_due(app) is None
    _label(app, 1, text="corrected")
    assert _start_if_due(app) is None
    with app.store.begin() as session:  # a task that goes counts as a change too
        snapshots.remove_missing(session, PROJECT, [1, 2, 3, 4])
    assert _start_if_due(app) is not None


def test_correcting_the_group_key_repeats_a_run_that_failed_for_it(app: FakeApp) -> None:
    # Fewer than retrain_after: nothing else would start one.
    rule = {"min_annotations": 2, "retrain_after": 5}
    app.change_settings(**rule, group_key="patiemt")
    _label(app, 1, 2)
    first = _start_if_due(app)
    assert first is not None
    _finish(app, first, RunStatus.FAILED)
    assert _start_if_due(app) is None
    app.change_settings(**rule, group_key="patient")
    second = _start_if_due(app)
    assert second is not None and second.trigger.startswith("group_key was changed")
    _finish(app, second, RunStatus.FAILED)
    assert _start_if_due(app) is None  # it fails for another reason: once is enough
    _finish(app, second)
    app.change_settings(**rule, group_key=None)
    assert _start_if_due(app) is None  # it had not failed


def test_a_failed_run_is_not_repeated_on_the_same_annotations(app: FakeApp) -> None:
    app.change_settings(min_annotations=2, retrain_after=1)
    _label(app, 1, 2)
    first = _start_if_due(app)
    assert first is not None
    _finish(app, first, RunStatus.FAILED)
    assert _start_if_due(app) is None
    _label(app, 3)
    assert _start_if_due(app) is not None


def test_a_request_starts_a_run_whatever_the_counts(app: FakeApp) -> None:
    with app.store.begin() as session:
        assert session.get_one(ProjectRow, PROJECT).settings == ProjectSettings()
        run = trigger.start(session, PROJECT, "requested by a person")
        assert run is not None and run.trigger == "requested by a person"
        assert trigger.start(session, PROJECT, "again") is None


def _labels(app: FakeApp, config: str) -> None:
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).label_config = config


def test_changed_labels_alone_start_a_run_once(app: FakeApp) -> None:
    app.change_settings(min_annotations=2)
    _label(app, 1, 2)
    first = _start_if_due(app)
    assert first is not None and first.settings.class_values == ("lumen", "wall")
    _finish(app, first)
    assert _start_if_due(app) is None
    _labels(app, CONFIG.replace('value="wall"', 'value="plaque"'))
    second = _start_if_due(app)
    assert second is not None
    assert second.trigger == "the labels have changed: new is 'plaque', gone is 'wall'"
    _finish(app, second, RunStatus.FAILED)
    assert _start_if_due(app) is None  # tried, and not again


@pytest.mark.parametrize("config", ["<View", CONFIG.replace("PolygonLabels", "Choices")])
def test_an_interface_that_can_not_be_read_starts_nothing(app: FakeApp, config: str) -> None:
    app.change_settings(min_annotations=2)
    _label(app, 1, 2)
    first = _start_if_due(app)
    assert first is not None
    _finish(app, first)
    _labels(app, config)
    assert _start_if_due(app) is None


def test_changed_labels_wait_for_enough_annotations() -> None:
    settings = ProjectSettings(min_annotations=10)
    decision = trigger.decide(trigger.SinceLastRun(9, 0, new_labels="new is 'x'"), settings)
    assert not decision.is_due


def test_a_run_has_settings_of_its_own(app: FakeApp) -> None:
    app.change_settings(budget_s=60.0, preset="tiny", warm_start=True)
    with app.store.begin() as session:
        overrides = {"budget_s": 600.0, "warm_start": False, "replan": True}
        run = trigger.start(session, PROJECT, "requested by a person", overrides)
        assert run is not None
        settings = run.settings
        assert (settings.budget_s, settings.warm_start, settings.replan) == (600.0, False, True)
        assert (settings.preset, run.settings.replan) == ("tiny", True)
        # The project's own stay as they are.
        assert session.get_one(ProjectRow, PROJECT).settings.budget_s == 60.0
        with pytest.raises(SettingsError, match="n_folds"):
            run_settings(session.get_one(ProjectRow, PROJECT), {"n_folds": 1})


def test_another_image_under_the_id_is_a_change(app: FakeApp) -> None:
    app.change_settings(min_annotations=1, retrain_after=1)
    note = Annotation(1, 1, [{"x": ""}])

    def write(image: str) -> None:
        with app.store.begin() as session:
            task = Task(1, PROJECT, {"image": image}, (note,), created_at="2026-01-01T00:00:00Z")
            snapshots.write_tasks(session, PROJECT, [task], ["image"])

    write("a.png")
    first = _start_if_due(app)
    assert first is not None
    _finish(app, first)
    assert _start_if_due(app) is None
    write("b.png")
    assert _start_if_due(app) is not None
