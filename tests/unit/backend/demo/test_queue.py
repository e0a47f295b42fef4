"""What the demo says of its annotator's queue."""

from __future__ import annotations

import io
from typing import Any, cast

import pytest
from rich.console import Console

from backend.demo import view
from backend.demo.label_config import LABEL_CONFIG
from backend.demo.person import Person
from backend.demo.queue import CHANCE, Offer, begins_anew, offer_of, with_draws
from backend.demo.view import View
from backend.label_studio import LabelStudioClient, PushedPrediction, ServedTask
from backend.label_studio.views import Tab, queue_data
from backend.pipeline.queues.pool import BY_CHANCE
from backend.pipeline.status import project_report
from backend.store.models import FoldRow
from converters.label_studio.config.label_config import parse_label_config
from domain.annotation import Task
from domain.errors import StackError
from domain.queues import QueueArm
from domain.states import FoldStatus, RunStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.queues.filled import ANNA, entries, fill, lab, label, of, serve

__all__ = ["lab"]

TITLE = "nnloop: Anna"


class Empty:
    """A project whose queue, if there is one, serves nothing."""

    def __init__(self, tabs: list[Tab]) -> None:
        self.tabs = tabs
        self.asked: list[str] = []

    def list_tabs(self, project_id: int) -> list[Tab]:
        return self.tabs

    def next_in_tab(self, project_id: int, tab: Tab) -> None:
        self.asked.append(tab.title)


def _served(*predictions: PushedPrediction) -> ServedTask:
    return ServedTask(Task(id=7, project_id=1, data={}), predictions)


def test_an_offer_says_what_stands_on_the_prediction() -> None:
    regions: list[dict[str, Any]] = [
        {"meta": {"text": ["Folds disagree on wall."]}},
        {"value": {}},
        {"meta": None},
    ]
    served = _served(PushedPrediction(7, regions, 0.25, "nnloop-v1"))
    assert offer_of(served) == Offer(task_id=7, score=0.25, why="Folds disagree on wall.")


def test_a_task_without_a_prediction_has_neither_score_nor_reason() -> None:
    assert offer_of(_served()) == Offer(task_id=7, score=None, why="")


@pytest.mark.parametrize("titles", [[], ["Default"], ["Default", TITLE]])
def test_a_queue_that_stays_empty_is_said_and_no_other_tab_is_taken(titles: list[str]) -> None:
    client = Empty([Tab(i, queue_data(title, [])) for i, title in enumerate(titles)])
    config = parse_label_config(LABEL_CONFIG)
    person = Person(cast(LabelStudioClient, client), 1, config, {}, 0, TITLE)
    with pytest.raises(StackError, match="Nothing came into the tab 'nnloop: Anna'"):
        next(person.work_the_queue(1, timeout_s=0.0))
    assert set(client.asked) <= {TITLE}


def test_what_drew_a_task_is_told_and_where_a_new_batch_begins(lab: FakeApp) -> None:
    fill(lab)
    early = of(lab, "Anna")[0]
    label(lab, early)
    serve(lab, 1)
    lab.change_settings(queue_length=8)
    fill(lab)
    drawn = {e.task_id: e.arm for e in entries(lab, left_at=None, annotator_id=ANNA.id)}
    served = [Offer(task_id=i, score=0.5, why="") for i in (early, *drawn, 999)]
    found = {one.task_id: one for one in with_draws(lab.context, PROJECT, served)}
    assert found[early].drawn_by.endswith(", before there was a model")
    control = [i for i, arm in drawn.items() if arm == QueueArm.CONTROL]
    assert control and {found[i].drawn_by for i in control} == {CHANCE}
    assert found[999].drawn_by == ""  # the store knows nothing of it


def test_a_line_stands_only_where_nothing_older_follows() -> None:
    offers = [Offer(task_id=i, score=0.5, why="", batch=b) for i, b in enumerate((3, 2, 3, 4, 4))]
    assert begins_anew(offers) == [False, False, False, True, False]
    assert begins_anew(offers[:1]) == [False] and begins_anew([]) == []


def test_the_table_names_what_drew_each_task_and_explains_its_line() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    View(console).offers(
        [
            Offer(task_id=12, score=0.6, why="", drawn_by=CHANCE, batch=3),
            Offer(task_id=5, score=0.1, why="Unsure about wall.", drawn_by=BY_CHANCE, batch=4),
        ]
    )
    said = " ".join(console.export_text().split())
    assert "Drawn by" in said and "12 0.60 chance (control arm) -" in said
    assert "At the line it was empty, and the next batch was drawn." in said
    assert "'stratified_random': by chance, as many for each predicted class." in said


def test_without_a_terminal_a_run_says_now_and_then_how_far_it_is(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = app.add_run(RunStatus.TRAINING, 3)
    with app.store.begin() as session:
        fold = {"run_id": run_id, "status": FoldStatus.RUNNING, "epochs": 40, "eta_s": 88.0}
        session.add(FoldRow(fold=0, epoch=12, **fold))
    report = project_report(app.context, PROJECT)
    console = Console(width=100, record=True, file=io.StringIO())
    with View(console).run() as show:
        show(report, report.active_run)  # 30 s have not gone by
    assert "epoch 12/40" not in console.export_text()
    monkeypatch.setattr(view, "SAY_EVERY_S", 0.0)
    with View(console).run() as show:
        show(report, report.active_run)
    said = " ".join(console.export_text().split())
    assert "Run 3: training, fold 0 epoch 12/40, training takes about 1m28s more" in said
