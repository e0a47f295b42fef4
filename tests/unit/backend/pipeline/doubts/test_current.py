"""A doubt is of one label as it was: of nothing else, and not once a person has looked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from backend.pipeline.doubts.current import find_right
from backend.pipeline.doubts.report import check_report, doubted_labels_of
from backend.pipeline.doubts.tab import check_labels
from backend.pipeline.labels.mapping import LabelChange, change_labels
from backend.pipeline.labels.writing import write_labels
from backend.pipeline.sync.reading import sync_project
from backend.store import identity, projects
from backend.store.models import TaskRow
from domain.doubts import Doubt, DoubtKind
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.label_studio import CONFIG, FakeLabelStudio, polygon
from tests.unit.backend.pipeline.doubts.doubtful import ANNA, BOX, change, doubt, label_all, wrong


@pytest.fixture
def doubted(app: FakeApp) -> FakeApp:
    """Thirty labels, of which that of task 5 is doubted."""
    label_all(app)
    doubt(app, of={5: [wrong()]})
    return app


def tasks(app: FakeApp) -> list[int]:
    """The tasks whose labels are doubted now."""
    with app.store.begin() as session:
        found = doubted_labels_of(session, projects.get(session, PROJECT))
        return [one.task_id for one in found]


def read(app: FakeApp) -> list[int]:
    """The same after a reading."""
    sync_project(app.context, PROJECT)
    check_labels(app.context, PROJECT)
    return tasks(app)


def test_what_is_said_of_a_label(doubted: FakeApp) -> None:
    with doubted.store.begin() as session:
        (one,) = doubted_labels_of(session, projects.get(session, PROJECT))
    assert (one.task_id, one.annotators, one.version) == (5, (ANNA,), "nnloop-v1")
    assert (one.kind, one.label, one.box) == (DoubtKind.WRONG_CLASS, "wall", BOX)
    assert one.sentence == (
        "wall is drawn where the model, which has not seen it, is sure of lumen"
    )
    assert one.rarity == pytest.approx(1 / 30)
    assert read(doubted) == [5]


def edit(studio: FakeLabelStudio, app: FakeApp) -> None:
    change(app, 5, result=[polygon("lumen")])


def delete(studio: FakeLabelStudio, app: FakeApp) -> None:
    studio.unlabel(5)


def skip(studio: FakeLabelStudio, app: FakeApp) -> None:
    change(app, 5, was_cancelled=True)


def draw_again(studio: FakeLabelStudio, app: FakeApp) -> None:
    studio.label(5, polygon("lumen"), by=8)


def delete_task(studio: FakeLabelStudio, app: FakeApp) -> None:
    del studio.tasks[5]


def reuse_id(studio: FakeLabelStudio, app: FakeApp) -> None:
    annotations = studio.tasks[5].annotations
    studio.now = "2026-03-03T00:00:00.000000Z"
    studio.add_task(5)
    studio.tasks[5] = replace(studio.tasks[5], annotations=annotations)


def other_image(studio: FakeLabelStudio, app: FakeApp) -> None:
    studio.images["/data/upload/new.png"] = b""
    studio.tasks[5].data["image"] = "/data/upload/new.png"


@pytest.mark.parametrize(
    "happen", [edit, delete, skip, draw_again, delete_task, reuse_id, other_image]
)
def test_a_label_that_is_another_one_now_is_not_doubted(
    doubted: FakeApp, happen: Callable[[FakeLabelStudio, FakeApp], None]
) -> None:
    happen(doubted.label_studio, doubted)
    assert read(doubted) == []
    # It was not looked at, it is gone: nothing of it stays behind for what comes.
    assert check_report(doubted.context, PROJECT).n_checked == 0


def test_an_image_that_was_overwritten(app: FakeApp) -> None:
    label_all(app)
    with app.store.begin() as session:
        task = session.get_one(TaskRow, 5)
        task.image_hash = "first"
    doubt(app, of={5: [wrong()]})
    assert tasks(app) == [5]
    with app.store.begin() as session:
        task = session.get_one(TaskRow, 5)
        session.expunge(task)
        task.image_hash = "second"
        assert identity.keep_image(session, task)
    assert tasks(app) == []


def test_updating_it_as_it_is_says_that_it_is_right(doubted: FakeApp) -> None:
    change(doubted, 5)
    assert read(doubted) == []
    assert check_report(doubted.context, PROJECT).n_checked == 1
    # And it stays right for the next version, which doubts it again.
    doubt(doubted, 2, of={5: [wrong(0.9)], 6: [wrong(0.7)]})
    assert read(doubted) == [6]
    # Until it changes: then it is a new label.
    change(doubted, 5, result=[polygon("wall", size=20.0)])
    sync_project(doubted.context, PROJECT)
    doubt(doubted, 3, of={5: [wrong()]})
    assert read(doubted) == [5]


def test_the_star_of_ground_truth_says_so_too(doubted: FakeApp) -> None:
    change(doubted, 5, ground_truth=True)
    assert read(doubted) == []
    doubt(doubted, 2, of={5: [wrong()]})
    assert read(doubted) == []


def test_a_person_says_that_it_is_right(app: FakeApp) -> None:
    label_all(app)
    doubt(app, of={5: [wrong()], 9: [wrong(0.7)]})

    def say(*task_ids: int) -> tuple[int, ...]:
        with app.store.begin() as session:
            return find_right(session, projects.get(session, PROJECT), task_ids)

    assert say(5, 5, 30, 4000) == (30, 4000)
    assert read(app) == [9]
    assert say(5) == (5,)
    assert check_report(app.context, PROJECT).n_checked == 1
    doubt(app, 2, of={5: [wrong()], 9: [wrong()]})
    assert read(app) == [9]
    change(app, 5, result=[polygon("wall", size=20.0)])
    sync_project(app.context, PROJECT)
    doubt(app, 3, of={5: [wrong()]})
    assert read(app) == [5]


def test_what_was_updated_before_it_was_doubted_was_not_looked_at(app: FakeApp) -> None:
    label_all(app)
    change(app, 5)
    sync_project(app.context, PROJECT)
    doubt(app, of={5: [wrong()]})
    assert read(app) == [5]


def test_labels_that_a_program_saved_were_not_looked_at(app: FakeApp) -> None:
    label_all(app)
    app.label_studio.label(5, polygon("lumen"), by=8)
    sync_project(app.context, PROJECT)
    doubt(app, of={5: [wrong(label=1, other=2)]})
    config = CONFIG.replace('"wall"', '"media"')
    app.label_studio.info = replace(app.label_studio.info, label_config=config)
    sync_project(app.context, PROJECT)
    change_labels(app.context, PROJECT, LabelChange(renamed=[("wall", "media")]))
    # The older annotation of task 5 has a new name in it; the newest is saved after it, as it is.
    write_labels(app.context, PROJECT, is_dry=False)
    assert read(app) == read(app) == [5]


def rename(app: FakeApp, old: str, new: str) -> None:
    studio = app.label_studio
    config = studio.info.label_config.replace(f'"{old}"', f'"{new}"')
    studio.info = replace(studio.info, label_config=config)
    sync_project(app.context, PROJECT)


def test_a_renamed_class_is_called_as_it_is_now(doubted: FakeApp) -> None:
    rename(doubted, "lumen", "Lumen")
    change_labels(doubted.context, PROJECT, LabelChange(renamed=[("lumen", "Lumen")]))
    with doubted.store.begin() as session:
        (one,) = doubted_labels_of(session, projects.get(session, PROJECT))
    assert one.doubts[0].other == "Lumen" and "sure of Lumen" in one.sentence


def test_a_class_that_is_gone_is_not_spoken_of(doubted: FakeApp) -> None:
    rename(doubted, "lumen", "plaque")
    assert tasks(doubted) == []


def test_two_classes_that_became_one_are_not_mistaken_for_each_other(doubted: FakeApp) -> None:
    config = doubted.label_studio.info.label_config.replace('<Label value="lumen"/>', "")
    doubted.label_studio.info = replace(doubted.label_studio.info, label_config=config)
    sync_project(doubted.context, PROJECT)
    change_labels(doubted.context, PROJECT, LabelChange(renamed=[("lumen", "wall")]))
    assert tasks(doubted) == []


def test_the_next_version_replaces_what_the_one_before_doubted(doubted: FakeApp) -> None:
    doubt(doubted, 2, of={9: [wrong()], 11: [wrong(0.9)]})
    assert tasks(doubted) == [11, 9]


def test_a_label_that_was_corrected_while_it_was_trained_on(app: FakeApp) -> None:
    label_all(app)
    old = app.label_studio.tasks[5]
    with pytest.MonkeyPatch.context():
        change(app, 5, result=[polygon("lumen")])
        doubt(app, of={5: [wrong()]})
        sync_project(app.context, PROJECT)
    assert tasks(app) == [] and old.annotations


def test_several_people_drew_it(app: FakeApp) -> None:
    label_all(app, annotator_policy="union")
    app.label_studio.label(5, polygon("wall", size=20.0), by=8)
    sync_project(app.context, PROJECT)
    doubt(app, of={5: [wrong()]})
    with app.store.begin() as session:
        (one,) = doubted_labels_of(session, projects.get(session, PROJECT))
    assert one.annotators == (ANNA, 8)
    app.change_settings(annotator_policy="latest")
    assert tasks(app) == []


def test_other_doubts_of_a_label_come_behind(app: FakeApp) -> None:
    label_all(app)
    common = {i: [Doubt(DoubtKind.COARSE, i / 100, 1, 0, BOX)] for i in range(1, 31)}
    common[5].append(wrong())
    doubt(app, of=common)
    with app.store.begin() as session:
        found = doubted_labels_of(session, projects.get(session, PROJECT))
    of_5 = next(one for one in found if one.task_id == 5)
    assert [one.kind for one in of_5.doubts] == [DoubtKind.WRONG_CLASS, DoubtKind.COARSE]


def test_nothing_is_doubted_before_a_version_and_it_is_said_why(app: FakeApp) -> None:
    label_all(app, 3)
    assert "No version was trained here yet" in check_report(app.context, PROJECT).why_none
    app.add_imported("theirs")
    assert "imported versions have none" in check_report(app.context, PROJECT).why_none
    doubt(app)
    assert check_report(app.context, PROJECT).why_none == (
        "Only 3 labels could be compared with predictions that have not seen them; what stands out "
        "can be told from 5 on."
    )
    label_all(app, 5)
    doubt(app, 2)
    assert check_report(app.context, PROJECT).why_none == (
        "None of the 5 labels that nnloop-v2 was trained on stands out against predictions that "
        "have not seen it."
    )


def test_an_imported_version_that_serves_takes_no_doubts_away(doubted: FakeApp) -> None:
    doubted.add_imported("theirs")
    report = check_report(doubted.context, PROJECT)
    assert (report.version, report.serving) == ("nnloop-v1", "theirs")
    assert [one.task_id for one in report.labels] == [5]


def test_thousands_of_labels(app: FakeApp) -> None:
    label_all(app, 1200)
    strengths = np.random.default_rng(0).uniform(0, 1, 1200) ** 20
    doubt(app, of={i + 1: [wrong(float(s))] for i, s in enumerate(strengths)})
    found = tasks(app)
    assert found[0] == int(strengths.argmax()) + 1
    assert 20 < len(found) < 120
