"""What is asked where labels and annotations differ, and what waits for the answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from backend.pipeline.basis.run_settings import run_settings
from backend.pipeline.labels.mapping import LabelChange, change_labels, label_report
from backend.pipeline.sync.reading import sync_project
from backend.store import projects
from backend.store.models import RunRow
from domain.errors import NotEnoughCasesError
from domain.states import RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import CONFIG, polygon
from tests.unit.backend.pipeline.labels.renamed import (
    MAPPED,
    RENAMED,
    annotate,
    end_run,
    last_run,
    problems,
    set_config,
    trained_app,
    waits_for,
)
from tests.unit.backend.pipeline.preparing import prepare


def test_a_rename_is_asked_about_and_no_training_starts_before_the_answer(app: FakeApp) -> None:
    trained_app(app)
    set_config(app, RENAMED)
    (problem,) = problems(app)
    assert problem.message == (
        'The label "lumen" went and "Lumen" came: a rename? '
        "The annotations of 12 tasks still use it."
    )
    assert "nnloop labels 1 --map lumen=Lumen" in problem.remedy
    assert "--keep-apart lumen=Lumen" in problem.remedy
    annotate(app, 20, 21, 22, labels=("wall",))
    sync_project(app.context, PROJECT)
    assert waits_for(app).startswith(f"waits for an answer. {problem.message}")
    assert last_run(app).number == 1  # type: ignore[union-attr]
    change_labels(app.context, PROJECT, MAPPED)
    assert problems(app) == []
    sync_project(app.context, PROJECT)
    run = last_run(app)
    # The annotations are the same: only the three new ones count.
    assert run is not None and run.trigger == "3 new or changed annotations since the last run"


def test_a_single_task_with_an_unknown_label_holds_up_no_training(app: FakeApp) -> None:
    app.change_settings(min_annotations=4, preset="tiny")
    annotate(app, *range(1, 11), labels=("lumen",))
    annotate(app, 11, labels=("lumne",))
    sync_project(app.context, PROJECT)
    (problem,) = problems(app)
    assert problem.message == (
        'The interface lacks the label "lumne", and nobody uses "wall": a rename? '
        "The annotations of 1 task still use it."
    )
    run = last_run(app)
    assert run is not None and run.trigger == "10 annotations, the first training is due"


def test_a_class_answers_to_its_title(app: FakeApp) -> None:
    """An alias given later: annotations and versions have the name from before."""
    trained_app(app)
    set_config(app, CONFIG.replace('value="lumen"', 'value="lumen" alias="l"'))
    assert problems(app) == []
    report = label_report(app.context, PROJECT)
    assert report.counts_as == {"lumen": "l"}
    assert waits_for(app).startswith("0 of 3 new or changed annotations")


def test_a_mapped_rename_wastes_no_run(app: FakeApp) -> None:
    trained_app(app)
    set_config(app, RENAMED)
    change_labels(app.context, PROJECT, MAPPED)
    sync_project(app.context, PROJECT)
    assert waits_for(app) == "0 of 3 new or changed annotations since the last run"


def test_labels_that_are_kept_apart_are_not_asked_about_again(app: FakeApp) -> None:
    trained_app(app)
    annotate(app, 20, 21, 22, 23, labels=("wall",))
    set_config(app, RENAMED)
    change_labels(app.context, PROJECT, LabelChange(apart=[("lumen", "Lumen")]))
    (problem,) = problems(app)
    assert problem.message == (
        'The label "lumen" went; the annotations of 12 tasks still use it. '
        "These tasks are left out."
    )
    sync_project(app.context, PROJECT)
    run = last_run(app)
    assert run is not None and run.number == 2
    assert run.trigger == "the labels have changed: new is 'Lumen', gone is 'lumen'"


def test_a_question_ends_when_labels_and_annotations_no_longer_differ(app: FakeApp) -> None:
    trained_app(app)
    set_config(app, RENAMED)
    assert len(problems(app)) == 1
    set_config(app, CONFIG)  # it was a mistake
    assert problems(app) == []
    set_config(app, RENAMED)
    assert len(problems(app)) == 1
    for task_id in range(1, 13):  # everybody relabelled by hand
        app.label_studio.unlabel(task_id)
        app.label_studio.label(task_id, polygon("Lumen"), polygon("wall", at=65, size=20))
    sync_project(app.context, PROJECT)
    assert problems(app) == []


def test_a_label_split_in_two_can_not_be_mapped_by_itself(app: FakeApp) -> None:
    trained_app(app)
    set_config(
        app, CONFIG.replace('<Label value="lumen"/>', '<Label value="a"/><Label value="b"/>')
    )
    (problem,) = problems(app)
    assert 'went and "a" and "b" came: a rename, or split up?' in problem.message
    assert "--keep-apart lumen, and relabel those tasks" in problem.remedy
    change_labels(app.context, PROJECT, LabelChange(apart=[("lumen", "")]))
    assert [row.reason for row in problems(app)] == ["gone"]


def test_a_label_that_came_is_learned_at_the_usual_count(app: FakeApp) -> None:
    trained_app(app)
    set_config(app, CONFIG.replace("<Label", '<Label value="debris"/><Label', 1))
    assert problems(app) == []
    assert waits_for(app) == (
        "0 of 3 new or changed annotations since the last run; new is the label 'debris', learned "
        "once it is drawn"
    )


def test_a_label_that_went_unused_starts_a_training(app: FakeApp) -> None:
    app.change_settings(min_annotations=4, preset="tiny")
    annotate(app, 1, 2, 3, 4, labels=("lumen",))
    sync_project(app.context, PROJECT)
    end_run(app)
    set_config(app, CONFIG.replace('<Label value="wall"/>', ""))
    run = last_run(app)
    assert run is not None and run.trigger == "the labels have changed: gone is 'wall'"


@pytest.mark.parametrize("xml", [RENAMED, CONFIG.replace('<Label value="lumen"/>', "")])
def test_a_run_without_usable_tasks_names_the_cause(app: FakeApp, xml: str) -> None:
    trained_app(app)
    app.label_studio.info = replace(app.label_studio.info, label_config=xml)
    with pytest.raises(NotEnoughCasesError) as caught:
        prepare(app)
    said = str(caught.value)
    assert said.startswith("Only 0 of 12 labelled tasks can be trained on")
    assert "'lumen', which the labelling" in said or (
        'the annotations of 12 tasks use "lumen", which the interface lacks; did you rename it to '
        '"Lumen"?' in said
    )
    assert "nnloop labels 1 --map lumen=" in caught.value.remedy


def test_after_a_run_that_failed_for_a_rename_the_answer_starts_the_next(app: FakeApp) -> None:
    trained_app(app)
    set_config(app, RENAMED)
    run_id = app.add_run(RunStatus.FAILED, 2)
    with app.store.begin() as session:
        run, first = session.get_one(RunRow, run_id), session.get_one(RunRow, run_id - 1)
        project = projects.get(session, PROJECT)
        run.candidates, run.settings = (
            first.candidates,
            run_settings(project, {}),
        )
    change_labels(app.context, PROJECT, MAPPED)
    sync_project(app.context, PROJECT)
    last = last_run(app)
    assert last is not None and last.number == 3
    assert last.trigger == "12 new or changed annotations since the last run"
