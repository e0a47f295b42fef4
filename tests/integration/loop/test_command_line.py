"""The commands as a person runs them: exit codes, output, and sentences instead of tracebacks."""

from __future__ import annotations

import pytest

from backend.stack.ports import LOOPBACK, free_port
from tests.integration.loop.discs import LABEL_CONFIG
from tests.integration.loop.stack import Loop, Served
from training.devices import list_devices

CHOICES = LABEL_CONFIG.replace("PolygonLabels", "Choices").replace("<Label ", "<Choice ")
WRONG_KEY = "0123456789abcdef0123456789abcdef01234567"


def test_status_tells_a_program_everything(loop: Loop, served: Served) -> None:
    answer = loop.nnloop("status", "Discs", "--json")
    assert answer.status == 0
    (project,) = answer.body["projects"]
    report = loop.report(served.project).model_dump(mode="json")
    # Read again by the clock or a webhook meanwhile, it is the same project.
    assert {**project, "synced_at": None} == {**report, "synced_at": None}
    assert project["champion"].startswith("nnloop-v")
    n_trainers = sum(device.workers for device in list_devices())
    assert [name.split("-")[0] for name in answer.body["service"]["workers"]] == [
        "loop",
        "predictor",
        *["trainer"] * n_trainers,
    ]


def test_status_tells_a_person_what_serves(loop: Loop, served: Served) -> None:
    answer = loop.nnloop("status", str(served.project.id))
    assert answer.status == 0
    report = loop.report(served.project)
    assert f"{report.labelled} labelled, {report.unlabelled} unlabelled" in answer.text
    assert f"serves {report.champion}" in answer.text
    assert "trainer-1" in answer.text


def test_scoring_and_publishing_by_hand_find_nothing_left_to_do(loop: Loop, served: Served) -> None:
    champion = loop.report(served.project).champion
    scored, published = loop.nnloop("score", "Discs"), loop.nnloop("publish", "Discs")
    assert (scored.status, published.status) == (0, 0)
    assert f"{champion} has scored every unlabelled task." in scored.text
    assert f"0 predictions of {champion} pushed." in published.text


def test_before_the_first_version_scoring_and_publishing_say_so(loop: Loop) -> None:
    loop.make_project("Nothing yet")
    for command in ("score", "publish"):
        answer = loop.nnloop(command, "Nothing yet")
        assert answer.status == 1
        assert "serves yet" in answer.text


def test_connect_registers_everything_and_can_be_repeated(loop: Loop) -> None:
    made = loop.client.create_project("By hand", LABEL_CONFIG)
    first = loop.nnloop("connect", "By hand", "--min-annotations", "4", "--folds", "2")
    again = loop.nnloop("connect", str(made.id), "--retrain-after", "7")
    assert (first.status, again.status) == (0, 0), first.text + again.text
    assert f"Connected project {made.id} 'By hand'" in first.text
    assert "Classes: disc, square" in first.text
    assert "Training starts at 4 annotations, then after every 7" in again.text
    (backend,) = loop.client.list_backends(made.id)
    assert (backend.url, backend.is_connected) == (loop.settings.service_url, True)
    (webhook,) = loop.client._connection.json("GET", "/api/webhooks/", params={"project": made.id})
    assert webhook["url"] == f"{loop.settings.service_url}/webhook"
    assert webhook["headers"] == {"Authorization": loop.basic}
    assert loop.client.project(made.id).sampling == "Uncertainty sampling"
    views = loop.client._connection.json("GET", "/api/dm/views/", params={"project": made.id})
    (own,) = [view for view in views if view["data"]["title"] != "Default"]
    assert own["data"]["title"].startswith("nnloop: ")
    assert f"/projects/{made.id}/data?tab={own['id']}" in first.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status", "No such"], "Project 'No such' is not connected to nnloop."),
        (["train", "No such"], "Project 'No such' is not connected to nnloop."),
        (["score", "4711"], "Project '4711' is not connected to nnloop."),
        (["publish", "4711"], "Project '4711' is not connected to nnloop."),
        (["export", "No such", "--out", "x"], "There is no project 'No such'"),
        (["connect", "No such"], "There is no project 'No such'"),
        (["export", "Discs", "--format", "pdf", "--out", "x"], "no export format 'pdf'"),
        (["connect", "Discs", "--gate-margin", "7"], "less than or equal to 1 (got 7.0)"),
        (["connect", "Discs", "--reset", "margin"], "no project setting 'margin' to reset"),
    ],
)
def test_a_mistake_is_answered_with_one_sentence(
    loop: Loop, served: Served, arguments: list[str], words: str
) -> None:
    answer = loop.nnloop(*arguments)
    assert answer.status == 1
    assert answer.text.startswith("Error: ")
    assert words in answer.text
    assert "Traceback" not in answer.text


def test_a_label_config_that_draws_nothing_is_refused(loop: Loop) -> None:
    loop.client.create_project("Choices by hand", CHOICES)
    answer = loop.nnloop("connect", "Choices by hand")
    assert answer.status == 1
    assert "no <PolygonLabels> control" in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "arguments", [["connect", "Discs"], ["publish", "Discs"], ["export", "Discs", "--out", "x"]]
)
def test_a_refused_key_is_named_and_not_shown(
    loop: Loop, served: Served, arguments: list[str]
) -> None:
    answer = loop.nnloop(*arguments, LABEL_STUDIO_API_KEY=WRONG_KEY)
    assert answer.status == 1
    assert "LABEL_STUDIO_API_KEY" in answer.text
    assert WRONG_KEY not in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("command", ["connect", "publish"])
def test_a_label_studio_that_is_down_is_named(loop: Loop, served: Served, command: str) -> None:
    url = f"http://{LOOPBACK}:{free_port(LOOPBACK)}"
    answer = loop.nnloop(command, "Discs", LABEL_STUDIO_URL=url)
    assert answer.status == 1
    assert f"Label Studio at {url} can't be reached" in answer.text
    assert "Traceback" not in answer.text


def test_without_a_running_service_status_says_what_is_missing(
    loop: Loop, tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty = tmp_path_factory.mktemp("empty")
    answer = loop.nnloop("status", NNLOOP_DATA_DIR=str(empty))
    assert answer.status == 0
    assert "nnloop is not running here" in answer.text
    assert "No project is connected." in answer.text
