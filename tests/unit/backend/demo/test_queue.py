"""What the demo says of its annotator's queue."""

from __future__ import annotations

from typing import Any, cast

import pytest

from backend.demo.label_config import LABEL_CONFIG
from backend.demo.person import Person
from backend.demo.queue import Offer, offer_of
from backend.label_studio import LabelStudioClient, PushedPrediction, ServedTask
from backend.label_studio.views import Tab, queue_data
from converters.label_studio.config.label_config import parse_label_config
from domain.annotation import Task
from domain.errors import StackError

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
