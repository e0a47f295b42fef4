"""New names written into Label Studio, and what makes cases anew."""

from __future__ import annotations

import pytest

from backend.pipeline.labels.mapping import LabelChange, change_labels
from backend.pipeline.labels.writing import write_labels
from backend.pipeline.predictions.publish import publish
from backend.pipeline.predictions.score import score_chunk
from backend.pipeline.sync import trigger
from backend.pipeline.sync.reading import sync_project
from backend.settings import ProjectSettings
from backend.settings.option import flags_of
from backend.store import projects
from backend.store.tasks import snapshots
from backend.store.training import runs
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import CONFIG, polygon
from tests.unit.backend.pipeline.labels.renamed import (
    MAPPED,
    MOVED,
    RENAMED,
    end_run,
    hashes,
    problems,
    serve,
    set_config,
    trained_app,
    waits_for,
)


def test_writing_changes_names_alone_and_is_no_news(app: FakeApp) -> None:
    trained_app(app)
    # A second person drew task 1 later, without the lumen.
    app.label_studio.label(1, polygon("wall", at=30))
    app.label_studio.label(2, polygon("lumen"), was_cancelled=True)
    sync_project(app.context, PROJECT)
    set_config(app, RENAMED)
    change_labels(app.context, PROJECT, MAPPED)
    with app.store.begin() as session:
        run = runs.last_run(session, PROJECT)
        assert run is not None
        run.candidates = snapshots.chosen_hashes(session, PROJECT, "latest")
    before = dict(app.label_studio.tasks)
    dry = write_labels(app.context, PROJECT, is_dry=True)
    assert (dry.names, dry.annotations, dry.touched, len(dry.tasks)) == ({"lumen": 12}, 12, 1, 12)
    assert app.label_studio.tasks == before
    assert write_labels(app.context, PROJECT, is_dry=False).annotations == 12
    first, second = app.label_studio.tasks[1].annotations
    assert [r["value"]["polygonlabels"] for r in first.result] == [["Lumen"], ["wall"]]
    assert [r["value"]["points"] for r in first.result] == [
        r["value"]["points"] for r in before[1].annotations[0].result
    ]
    # The newest is still the newest: its truth counts as before.
    assert second.result == before[1].annotations[1].result
    assert second.updated_at > first.updated_at
    assert app.label_studio.tasks[2].annotations[1] == before[2].annotations[1]  # a skip
    sync_project(app.context, PROJECT)
    assert waits_for(app).startswith("0 of 3 new or changed")
    assert write_labels(app.context, PROJECT, is_dry=False).annotations == 0


def test_what_changed_meanwhile_is_not_written_over(app: FakeApp) -> None:
    trained_app(app)
    set_config(app, RENAMED)
    change_labels(app.context, PROJECT, MAPPED)
    fake = app.label_studio

    original = fake.unopened_task

    def task(project_id: int, task_id: int) -> object:
        if task_id == 3:
            fake.label(3, polygon("wall", at=50))
        return original(project_id, task_id)

    fake.unopened_task = task  # type: ignore[assignment, method-assign]
    report = write_labels(app.context, PROJECT, is_dry=False)
    assert report.annotations == 11
    assert report.skipped == ["Task 3 was changed at this moment; it is as it was."]
    assert fake.tasks[3].annotations[0].result[0]["value"]["polygonlabels"] == ["lumen"]


@pytest.mark.parametrize(
    "settings",
    [
        {"line_width_px": 5.0},
        {"keypoints": "leave_out"},
        {"label_priority": ("wall",)},
        {"annotator_policy": "union"},
    ],
)
def test_a_setting_that_shapes_label_maps_makes_cases_anew(
    app: FakeApp, settings: dict[str, object]
) -> None:
    before = hashes(app)
    assert hashes(app) == before
    app.change_settings(**settings)
    after = hashes(app)
    assert before[0] != after[0] and before[1] != after[1]
    name = next(iter(settings))
    app.change_settings(min_annotations=1)
    with app.store.begin() as session:
        run = trigger.start(session, PROJECT, "now")
        assert run is not None
    end_run(app)
    app.change_settings(min_annotations=1, **settings)
    flag = flags_of(name, ProjectSettings.model_fields[name])  # as a person writes it
    assert waits_for(app).endswith(f"{flag} changed: the next training reads all anew")


@pytest.mark.parametrize(
    ("xml", "mapping", "is_read_anew"),
    [
        (CONFIG, {"plaque": "wall"}, True),
        (CONFIG, {"plaque": ""}, True),
        (CONFIG.replace("PolygonLabels", "BrushLabels"), {}, True),
        (CONFIG.replace('value="wall"', 'value="wall" alias="w"'), {}, True),
        (CONFIG.replace('value="wall"', 'value="wall" background="red"'), {}, False),
    ],
)
def test_an_interface_that_reads_otherwise_makes_cases_anew(
    app: FakeApp, xml: str, mapping: dict[str, str], is_read_anew: bool
) -> None:
    before = hashes(app)[0]
    with app.store.begin() as session:
        project = projects.get(session, PROJECT)
        project.label_config, project.label_mapping = xml, mapping
    assert (hashes(app)[0] != before) is is_read_anew


@pytest.mark.usefixtures("_networks")
@pytest.mark.parametrize(
    ("xml", "controls"),
    [(MOVED, {"label", "strokes"}), (CONFIG.replace('"label"', '"areas"'), {"areas"})],
)
def test_a_class_that_another_control_draws_now_goes_out_by_that_one(
    app: FakeApp, xml: str, controls: set[str]
) -> None:
    trained_app(app)
    serve(app, "lumen", "wall")
    for task_id in (21, 22):
        app.label_studio.add_task(task_id)
    sync_project(app.context, PROJECT)
    score_chunk(app.context, PROJECT)
    publish(app.context, PROJECT)

    def shown() -> dict[int, set[str]]:
        rows = app.label_studio.predictions
        return {row.task_id: {entry["from_name"] for entry in row.result} for row in rows}

    assert shown() == {21: {"label"}, 22: {"label"}}
    set_config(app, xml)
    publish(app.context, PROJECT)  # the clock finds it
    assert shown() == {}  # a region that no control shows is never left
    score_chunk(app.context, PROJECT)
    publish(app.context, PROJECT)
    assert shown() == {21: controls, 22: controls}


def test_a_new_class_with_the_old_name_of_a_renamed_one_is_told_of(app: FakeApp) -> None:
    trained_app(app)
    serve(app, "lumen", "wall")
    set_config(app, RENAMED)
    change_labels(app.context, PROJECT, MAPPED)
    assert problems(app) == []
    both = RENAMED.replace("<Label", '<Label value="lumen"/><Label', 1)
    set_config(app, both)
    (told,) = problems(app)
    assert told.message == (
        'The label "lumen", once renamed to "Lumen", is in the interface again: what the '
        'annotations of 12 tasks call "lumen" counts as "lumen", not as "Lumen"; the predictions '
        'of nnloop-v1 that show "lumen" are held.'
    )
    assert "nnloop labels 1 --unmap lumen" in told.remedy and "--write" in told.remedy
    set_config(app, RENAMED)  # taken out once more
    assert problems(app) == []
    set_config(app, CONFIG)  # the rename was taken back: nothing to tell
    assert problems(app) == []
    set_config(app, both)
    assert len(problems(app)) == 1
    change_labels(app.context, PROJECT, LabelChange(forgotten=["lumen"]))
    assert "name_again" not in {row.reason for row in problems(app)}
