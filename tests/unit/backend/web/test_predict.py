from __future__ import annotations

import math
import random
import time
from typing import Any

import pytest

from backend.queue import JobName
from backend.store import projects
from backend.store.identity import settle
from backend.store.models import PredictionRow, ProjectRow
from backend.web import answer as answering
from backend.web.answer import MAX_URGENT, _score
from domain.annotation import Task
from domain.errors import StackError
from tests.unit.backend.web.conftest import SOON_S, XML, Service, ask_predict, region


@pytest.fixture
def ready(service: Service) -> Service:
    """Project 7 with a version that serves."""
    service.connect(7)
    service.promote(7, "nnloop-1")
    return service


def detail(service: Service, body: dict[str, Any], status: int = 503) -> str:
    answer = service.client.post("/predict", json=body)
    assert answer.status_code == status, answer.text
    return str(answer.json()["detail"])


@pytest.mark.slow
def test_stored_predictions_come_in_the_order_of_the_tasks(ready: Service) -> None:
    ids = list(range(1, 701))  # more than one statement's worth of bound variables
    for task_id in ids:
        ready.predict(7, task_id, score=task_id / 1000, result=[region()])
    random.Random(0).shuffle(ids)
    answer = ready.client.post("/predict", json=ask_predict("7.17", *ids))
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [r["score"] for r in results] == [i / 1000 for i in ids]
    assert results[0] == {
        "result": [region()],
        "score": ids[0] / 1000,
        "model_version": "nnloop-1",
    }
    assert ready.queue.asked == []


def test_task_named_twice_gets_two_results(ready: Service) -> None:
    ready.predict(7, 1, score=0.5)
    answer = ready.client.post("/predict", json=ask_predict(7, 1, 1))
    assert [r["score"] for r in answer.json()["results"]] == [0.5, 0.5]


def test_one_task_may_stand_for_a_list_and_name_the_project(ready: Service) -> None:
    ready.predict(7, 1, score=0.5)
    body = {"tasks": {"id": 1, "data": {"image": "/data/1.png"}, "project": 7}}
    assert ready.client.post("/predict", json=body).json()["results"][0]["score"] == 0.5


def test_no_tasks_is_no_results(service: Service) -> None:
    assert service.client.post("/predict", json={"tasks": []}).json() == {"results": []}


def test_request_without_a_project_is_refused(service: Service) -> None:
    assert "names no project" in detail(service, {"tasks": [{"id": 1}]}, 422)


def test_unknown_project_is_named_with_the_remedy(service: Service) -> None:
    text = detail(service, ask_predict(9, 1), 404)
    assert "is not connected to nnloop. Connect it: nnloop connect" in text
    assert text.count("9") == 2


def test_untrained_project_answers_at_once(service: Service) -> None:
    service.connect(7)
    assert "has no model version yet" in detail(service, ask_predict(7, 1))
    assert service.queue.asked == []


def test_missing_task_is_stored_asked_for_and_awaited(ready: Service) -> None:
    ready.predict(7, 1, score=0.1)
    ready.predict_when_asked(score=0.9)
    answer = ready.client.post("/predict", json=ask_predict(7, 2, 1))
    assert [r["score"] for r in answer.json()["results"]] == [0.9, 0.1]
    assert ready.queue.asked == [(JobName.PREDICT, (7, 2))]
    task = ready.tasks()[2]
    assert (task.project_id, task.data) == (7, {"image": "/data/2.png"})
    # A task nobody told of: a webhook was lost, so the project is read soon.
    assert ready.hints() == [(7, "PREDICT", [2])]


@pytest.mark.slow
@pytest.mark.parametrize("deadline_s", [SOON_S])
def test_task_that_was_thought_removed_is_back(ready: Service) -> None:
    ready.client.post("/predict", json=ask_predict(7, 2))
    with ready.store.begin() as session:
        session.merge(ready.tasks()[2]).removed_at = 1.0
    ready.client.post("/predict", json=ask_predict(7, 2))
    assert ready.tasks()[2].removed_at is None


@pytest.mark.parametrize("deadline_s", [SOON_S])
def test_deadline_is_kept_and_nothing_partial_is_answered(ready: Service) -> None:
    ready.predict(7, 1, score=0.5)
    started = time.monotonic()
    text = detail(ready, ask_predict(7, 1, 2, 3))
    took = time.monotonic() - started
    assert f"2 of 3 tasks of project 7 are not predicted within {SOON_S:g} s" in text
    assert 0.4 < took < 5.0
    assert ready.queue.asked == [(JobName.PREDICT, (7, 2)), (JobName.PREDICT, (7, 3))]


@pytest.mark.parametrize("deadline_s", [SOON_S])
def test_many_missing_tasks_go_to_the_pool(ready: Service) -> None:
    ids = range(1, MAX_URGENT + 11)
    assert f"{len(ids)} of {len(ids)} tasks" in detail(ready, ask_predict(7, *ids))
    urgent = [(JobName.PREDICT, (7, task_id)) for task_id in ids[:MAX_URGENT]]
    assert ready.queue.asked == [*urgent, (JobName.SCORE, (7, 0))]
    assert sorted(ready.tasks()) == list(ids)


def test_version_promoted_while_waiting_answers_for_all(ready: Service) -> None:
    ready.predict(7, 1, score=0.1)

    def promote(_name: JobName, _ids: tuple[int, ...]) -> None:
        ready.queue.on_ensure = None
        ready.promote(7, "nnloop-2")
        for task_id in (1, 2):
            ready.predict(7, task_id, score=0.7)

    ready.queue.on_ensure = promote
    answer = ready.client.post("/predict", json=ask_predict(7, 1, 2))
    expected = {"result": [], "score": 0.7, "model_version": "nnloop-2"}
    assert answer.json() == {"results": [expected, expected]}


def test_version_promoted_while_waiting_is_asked_as_well(ready: Service) -> None:
    def work(_name: JobName, _ids: tuple[int, ...]) -> None:
        ready.promote(7, "nnloop-2")
        ready.predict_when_asked(score=0.7)

    ready.queue.on_ensure = work
    answer = ready.client.post("/predict", json=ask_predict(7, 1))
    assert answer.json()["results"][0]["model_version"] == "nnloop-2"
    assert ready.queue.asked == [(JobName.PREDICT, (7, 1))] * 2


@pytest.mark.parametrize("when", ["before", "while waiting"])
def test_task_that_cannot_be_predicted_is_named_with_the_reason(ready: Service, when: str) -> None:
    if when == "before":
        ready.predict(7, 2, error="Task 2: the image is missing (404).")
    else:
        ready.predict_when_asked(error="Task 2: the image is missing (404).")
    ready.predict(7, 1, score=0.5)
    text = detail(ready, ask_predict(7, 1, 2))
    assert "Task 2 can't be predicted: Task 2: the image is missing (404)." in text


@pytest.mark.parametrize("sent", [{"result": [region()]}, {}, "text", 3])
def test_interactive_context_is_ignored(ready: Service, sent: object) -> None:
    ready.predict(7, 1, score=0.5)
    body = {**ask_predict(7, 1), "params": {"login": None, "context": sent}}
    assert ready.client.post("/predict", json=body).json()["results"][0]["score"] == 0.5


def test_redis_that_is_down_is_said(ready: Service) -> None:
    def refuse(_name: JobName, _ids: tuple[int, ...]) -> None:
        raise StackError("Redis does not answer.", remedy="Start it.")

    ready.queue.on_ensure = refuse
    assert detail(ready, ask_predict(7, 1)) == "Redis does not answer. Start it."
    ready.predict(7, 1, score=0.5)  # what is stored needs no Redis
    assert ready.client.post("/predict", json=ask_predict(7, 1)).status_code == 200


@pytest.mark.parametrize(
    ("stored", "what"),
    [
        (region("plaque"), "the label 'plaque'"),
        (region(control="other"), "the control 'other'"),
    ],
)
def test_region_that_the_interface_lacks_is_never_answered(
    ready: Service, stored: dict[str, Any], what: str
) -> None:
    ready.predict(7, 1, score=0.5, result=[region(), stored])
    assert what in detail(ready, ask_predict(7, 1, label_config=XML))


def test_interface_that_nnloop_cannot_use_is_said(ready: Service) -> None:
    ready.predict(7, 1, score=0.5, result=[region()])
    body = ask_predict(7, 1, label_config='<View><Image name="image" value="$image"/></View>')
    assert "no <PolygonLabels> control" in detail(ready, body)


@pytest.mark.parametrize(
    ("stored", "sent"),
    [(0.25, 0.25), (0.0, 0.0), (1.0, 1.0), (1.2, 1.0), (-0.1, 0.0), (math.inf, 0.0), (None, 0.0)],
)
def test_score_is_always_a_number_from_0_to_1(stored: float | None, sent: float) -> None:
    assert _score(stored) == sent
    assert _score(math.nan) == 0.0


EARLY, LATE = "2026-01-01T00:00:00.000000Z", "2026-02-02T00:00:00.000000Z"


def task(created_at: str = EARLY, image: str = "/data/1.png") -> dict[str, Any]:
    return {"id": 1, "data": {"image": image}, "created_at": created_at}


@pytest.mark.parametrize("now", [task(LATE), task(image="/data/2.png")])
def test_what_was_predicted_for_another_image_is_no_answer(
    ready: Service, now: dict[str, Any]
) -> None:
    body = {"project": 7, "tasks": [task()]}
    ready.predict_when_asked(score=0.9)
    assert ready.client.post("/predict", json=body).json()["results"][0]["score"] == 0.9
    assert ready.client.post("/predict", json=body).status_code == 200
    assert ready.queue.asked == [(JobName.PREDICT, (7, 1))]
    # Deleted and imported again, or changed by PATCH, a moment ago: nobody has told nnloop.
    ready.predict_when_asked(score=0.1)
    body = {"project": 7, "tasks": [now]}
    assert ready.client.post("/predict", json=body).json()["results"][0]["score"] == 0.1
    row = ready.tasks()[1]
    assert (row.data, row.created_at) == (now["data"], now["created_at"])
    assert row.to_withdraw  # Label Studio may hold the old one
    assert ready.hints() == [(7, "PREDICT", [1])] * 2


def _replace_image(service: Service, task_id: int) -> None:
    """As a reading does that has seen another image in the task."""
    with service.store.begin() as session:
        other = Task(id=task_id, project_id=7, data={"image": "/data/other.png"})
        settle(session, 7, [other], ["image"])


def test_an_image_replaced_while_another_task_is_waited_for_is_predicted_anew(
    ready: Service,
) -> None:
    ready.predict(7, 1, score=0.1)

    def replace(_name: JobName, _ids: tuple[int, ...]) -> None:
        ready.predict_when_asked(score=0.9)
        _replace_image(ready, 1)
        ready.predict(7, 2, score=0.2)

    ready.queue.on_ensure = replace
    answer = ready.client.post("/predict", json=ask_predict(7, 1, 2))
    assert [r["score"] for r in answer.json()["results"]] == [0.9, 0.2]
    assert ready.queue.asked == [(JobName.PREDICT, (7, 2)), (JobName.PREDICT, (7, 1))]


def test_another_project_under_the_id_is_not_connected(ready: Service) -> None:
    with ready.store.begin() as session:
        session.get_one(ProjectRow, 7).created_at = "2026-11-21T05:16:24.792678Z"
    ready.predict(7, 1, score=0.5)
    assert ready.client.post("/predict", json=ask_predict("7.1795238184", 1)).status_code == 200
    assert ready.client.post("/predict", json=ask_predict(7, 1)).status_code == 200  # not said
    text = detail(ready, ask_predict("7.1795238185", 1), 404)
    assert "is not connected" in text
    answer = ready.client.post("/setup", json={"project": "7.1795238185", "schema": XML})
    assert answer.json() == {"model_version": "nnloop-untrained"}
    answer = ready.client.post("/setup", json={"project": "7.1795238184", "schema": XML})
    assert answer.json() == {"model_version": "nnloop-1"}


def test_a_project_that_is_gone_is_not_connected(ready: Service) -> None:
    ready.predict(7, 1, score=0.5)
    with ready.store.begin() as session:
        fault = projects.Fault(projects.GONE, "It is gone.")
        projects.add_fault(session, 7, projects.CONNECTION, fault)
    assert "is not connected" in detail(ready, ask_predict(7, 1), 404)


def test_a_webhook_of_another_project_asks_for_no_training(ready: Service) -> None:
    with ready.store.begin() as session:
        session.get_one(ProjectRow, 7).created_at = "2026-11-21T05:16:24.792678Z"
    for created_at in ("2026-11-21T05:16:24.792678Z", LATE):
        body = {"action": "START_TRAINING", "project": {"id": 7, "created_at": created_at}}
        assert ready.client.post("/webhook", json=body).status_code == 200
    assert ready.hints() == [(7, "START_TRAINING", []), (7, "OTHER_PROJECT", [])]


def test_answers_are_in_the_labels_of_today(ready: Service) -> None:
    """The interface of the request decides: nnloop may not have read it yet."""
    ready.predict(7, 1, score=0.5, result=[region("lumen"), region("wall")])
    renamed = XML.replace('"lumen"', '"Lumen"')
    text = detail(ready, ask_predict(7, 1, label_config=renamed))
    assert "predicts the label 'lumen'" in text
    assert "nnloop labels PROJECT --map OLD=NEW" in text
    with ready.store.begin() as session:
        session.get_one(ProjectRow, 7).label_mapping = {"lumen": "Lumen"}
    answer = ready.client.post("/predict", json=ask_predict(7, 1, label_config=renamed))
    (result,) = answer.json()["results"]
    assert result["result"] == [region("Lumen"), region("wall")]
    # Back again, and without saying which interface: that of the last reading.
    answer = ready.client.post("/predict", json=ask_predict(7, 1))
    assert answer.json()["results"][0]["result"] == [region("lumen"), region("wall")]


@pytest.fixture
def renewed(ready: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Version 1 has seen tasks 1 and 2; version 2 serves, and has seen none."""
    monkeypatch.setattr("backend.web.answer.FORMER_AFTER_S", 0.1)
    ready.predict(7, 1, score=0.1, result=[region()])
    ready.predict(7, 2, score=0.2)
    ready.promote(7, "nnloop-2")
    return ready


def _answered(service: Service, *task_ids: int) -> list[tuple[float, str]]:
    answer = service.client.post("/predict", json=ask_predict(7, *task_ids))
    assert answer.status_code == 200, answer.text
    return [(row["score"], row["model_version"]) for row in answer.json()["results"]]


def test_what_the_version_before_has_seen_is_answered_with_that_for_now(renewed: Service) -> None:
    assert _answered(renewed, 2, 1) == [(0.2, "nnloop-1"), (0.1, "nnloop-1")]
    # The new one was asked, too: the next opening gets its answer.
    assert renewed.queue.asked == [(JobName.PREDICT, (7, 2)), (JobName.PREDICT, (7, 1))]
    renewed.predict(7, 1, score=0.9)
    assert _answered(renewed, 2, 1) == [(0.2, "nnloop-1"), (0.9, "nnloop-2")]


def test_the_new_version_is_waited_for_a_little(
    renewed: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backend.web.answer.FORMER_AFTER_S", 20.0)  # a busy machine is no failure
    renewed.predict_when_asked(score=0.7)
    assert _answered(renewed, 1, 2) == [(0.7, "nnloop-2"), (0.7, "nnloop-2")]


@pytest.mark.parametrize("deadline_s", [SOON_S])
def test_a_task_that_no_version_has_seen_is_not_answered_for(renewed: Service) -> None:
    assert "2 of 2 tasks" in detail(renewed, ask_predict(7, 1, 3))


@pytest.mark.parametrize("deadline_s", [SOON_S])
def test_the_answer_for_another_image_is_none(renewed: Service) -> None:
    with renewed.store.begin() as session:
        row = session.query(PredictionRow).filter_by(task_id=1).one()
        row.source = "the image it showed before"
    assert "1 of 1 tasks" in detail(renewed, ask_predict(7, 1))


@pytest.mark.parametrize("deadline_s", [SOON_S])
def test_what_the_version_before_failed_on_or_cannot_show_is_none(renewed: Service) -> None:
    with renewed.store.begin() as session:
        session.query(PredictionRow).filter_by(task_id=1).one().result = [region("plaque")]
        session.query(PredictionRow).filter_by(task_id=2).one().error = "It has no image."
    assert "1 of 1 tasks" in detail(renewed, ask_predict(7, 1))
    assert "1 of 1 tasks" in detail(renewed, ask_predict(7, 2))


@pytest.mark.parametrize("deadline_s", [SOON_S])
def test_what_the_version_before_has_seen_is_looked_up_when_it_is_answered(
    renewed: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    found = answering._of_former

    def then_replaced(*args: Any) -> dict[int, Any]:
        known = found(*args)
        if not calls:
            _replace_image(renewed, 1)
            renewed.predict(7, 3, score=0.3)  # now only task 1 is waited for
            calls.append(1)
        return known

    monkeypatch.setattr(answering, "_of_former", then_replaced)
    assert "1 of 2 tasks" in detail(renewed, ask_predict(7, 1, 3))


def test_a_version_promoted_while_waiting_has_a_former_of_its_own(renewed: Service) -> None:
    def promote(_name: JobName, _ids: tuple[int, ...]) -> None:
        renewed.queue.on_ensure = None
        renewed.predict(7, 1, score=0.5)
        renewed.promote(7, "nnloop-3")

    renewed.queue.on_ensure = promote
    assert _answered(renewed, 1) == [(0.5, "nnloop-2")]
