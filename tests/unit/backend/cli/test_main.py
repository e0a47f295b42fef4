from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from backend.cli import main as cli
from backend.cli import shared
from backend.cli.main import app
from backend.stack.runtime import RunningStack
from domain.errors import NnloopError
from tests.fakes.app import FakeApp

COMMANDS = [
    "up",
    "serve",
    "worker",
    "connect",
    "disconnect",
    "doctor",
    "status",
    "train",
    "predict",
    "curves",
    "preview",
    "film",
    "log",
    "backup",
    "restore",
    "jobs",
    "hints",
    "cancel",
    "report",
    "resume",
    "pause",
    "runs",
    "score",
    "publish",
    "alike",
    "export",
    "import",
    "agreement",
    "effort",
    "evaluate",
    "qa",
    "replay",
    "demo",
    "labels",
]


@dataclass
class Ended:
    """How a call of the program ended."""

    code: int
    out: str
    err: str


Call = Callable[..., Ended]


@pytest.fixture
def call(app: FakeApp, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs `nnloop ARGS` in this process, on the data folder of ``app``."""
    for name in list(os.environ):
        if name.startswith(("NNLOOP_", "LABEL_STUDIO_", "BASIC_AUTH_")) or name == "REDIS_URL":
            monkeypatch.delenv(name)
    # The commands set variables for the processes they start; here they must not outlive a test.
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.chdir(app.context.settings.data_dir)
    os.environ["NNLOOP_DATA_DIR"] = str(app.context.settings.data_dir)
    os.environ["COLUMNS"] = "200"

    def run(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["nnloop", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return Ended(int(ended.value.code or 0), captured.out, captured.err)

    return run


def test_the_commands_are_the_ones_in_the_manual() -> None:
    names = [command.name or "" for command in app.registered_commands]
    assert sorted(names) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_names_every_command(command: str) -> None:
    readme = Path(__file__).resolve().parents[4] / "README.md"
    assert f"`nnloop {command}" in readme.read_text(encoding="utf-8")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert re.search(rf"Example: .*nnloop {command}", result.output)


def test_status_without_a_running_stack(call: Call) -> None:
    ended = call("status")
    assert ended.code == 0
    assert "nnloop is not running here" in ended.out
    assert "Carotid" in ended.out


def test_status_as_json(call: Call) -> None:
    for arguments in (("status", "--json"), ("status", "Carotid", "--json")):
        value = json.loads(call(*arguments).out)
        assert [project["title"] for project in value["projects"]] == ["Carotid"]
        assert value["service"]["workers"] == []


def test_an_error_is_a_sentence_and_a_remedy(call: Call) -> None:
    ended = call("status", "Veins")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.splitlines() == [
        "Error: Project 'Veins' is not connected to nnloop.",
        "Connect it: nnloop connect Veins",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("up",), "LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY not set"),
        (("connect", "Carotid"), "LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY not set"),
        (("score", "Carotid"), "No version of project 1 serves yet"),
        (("publish", "Carotid"), "No version of project 1 serves yet"),
        (("worker", "--role", "sweep"), "There is no worker role 'sweep'"),
        (("worker",), "NNLOOP_REDIS_URL is not set"),
        (("worker", "--device", "tpu"), "NNLOOP_WORKER_DEVICE"),
        (("export", "Carotid", "--format", "doc", "--out", "x"), "no export format 'doc'"),
        (("publish", "7"), "Project '7' is not connected"),
    ],
)
def test_faults_are_one_sentence(call: Call, arguments: tuple[str, ...], words: str) -> None:
    ended = call(*arguments)
    assert ended.code == 1
    assert words in ended.err
    assert ended.err.startswith("Error: ")
    assert "Traceback" not in ended.out + ended.err


@pytest.mark.parametrize("arguments", [("statu",), ("status", "--jsn"), ("connect",)])
def test_a_wrong_call_is_explained(call: Call, arguments: tuple[str, ...]) -> None:
    ended = call(*arguments)
    assert ended.code == 2
    assert "Traceback" not in ended.out + ended.err
    assert ended.err


def test_a_bug_is_a_sentence_and_its_traceback_is_in_the_log(
    call: Call, app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr("backend.pipeline.status.service_report", explode)
    ended = call("status")
    assert ended.code == 1
    log = app.context.settings.data_dir / "logs" / "nnloop.log"
    assert ended.err.splitlines() == [
        "Error: Unexpected ZeroDivisionError: by nought",
        f"The details are in {log}.",
    ]
    assert "Traceback" in log.read_text()


def test_settings_that_can_not_be_used_are_named(call: Call) -> None:
    os.environ["NNLOOP_PORT"] = "many"
    ended = call("status")
    assert ended.code == 1
    assert "NNLOOP_PORT" in ended.err and "docs/settings.md" in ended.err


def test_a_training_asked_for_where_nothing_runs_waits(call: Call) -> None:
    ended = call("train", "Carotid")
    assert (ended.code, "it starts once nnloop runs" in ended.out) == (0, True)


def test_a_scoring_asked_for_where_nothing_runs_is_refused(call: Call, app: FakeApp) -> None:
    app.add_version()
    app.add_tasks(1)
    ended = call("score", "Carotid")
    assert ended.code == 1 and "nnloop is not running here" in ended.err


def test_the_addresses_of_a_running_stack_are_found(call: Call, app: FakeApp) -> None:
    folder = app.context.settings.data_dir
    stack = RunningStack("http://127.0.0.1:9999", "http://127.0.0.1:8888", "unix:///tmp/r.sock")
    stack.write(folder)
    found = shared.settings()
    assert (found.redis_url, found.service_url, found.label_studio_url) == (
        "unix:///tmp/r.sock",
        "http://127.0.0.1:9999",
        "http://127.0.0.1:8888",
    )
    # What a person set goes before it.
    os.environ["NNLOOP_REDIS_URL"] = "redis://elsewhere/0"
    assert shared.settings().redis_url == "redis://elsewhere/0"


def test_the_key_of_a_running_stack_goes_to_its_label_studio_only(
    call: Call, app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = app.context.settings.data_dir
    monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)
    stack = RunningStack("http://127.0.0.1:9999", "http://127.0.0.1:8888", "", "k" * 40)
    stack.write(folder)
    assert "kkkk" not in repr(stack)
    assert (folder / "running.json").stat().st_mode & 0o777 == 0o600
    monkeypatch.delenv("LABEL_STUDIO_URL", raising=False)
    assert shared.settings().require_label_studio() == ("http://127.0.0.1:8888", "k" * 40)
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://elsewhere.example")
    assert shared.settings().label_studio_api_key.get_secret_value() == ""


def test_another_data_folder_is_another_installation(call: Call, tmp_path: Path) -> None:
    other = tmp_path / "other"
    ended = call("status", "--data-dir", str(other))
    assert "No project is connected" in ended.out
    assert (other / "nnloop.db").exists()


def test_every_error_of_nnloop_reaches_people_the_same_way(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise NnloopError("It is [bold]so[/bold].", remedy="Do [this].")

    monkeypatch.setattr("backend.pipeline.status.service_report", fail)
    # Brackets are text here, not markup.
    assert call("status").err == "Error: It is [bold]so[/bold].\nDo [this].\n"


@pytest.mark.parametrize(
    ("level", "expected"), [("", logging.WARNING), ("INFO", logging.INFO), ("ERROR", logging.ERROR)]
)
def test_a_command_logs_what_was_asked_for(
    call: Call, monkeypatch: pytest.MonkeyPatch, level: str, expected: int
) -> None:
    root = logging.getLogger()
    before = root.level
    monkeypatch.setenv("NNLOOP_LOG_LEVEL", level)
    try:
        root.setLevel(logging.WARNING)
        assert call("status").code == 0
        assert root.level == expected
    finally:
        root.setLevel(before)


def test_services_log_by_their_setting_also_when_it_is_the_default(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    before = root.level
    monkeypatch.delenv("NNLOOP_LOG_LEVEL", raising=False)
    try:
        root.setLevel(logging.WARNING)
        assert call("worker", "--role", "none").code == 1
        assert root.level == logging.INFO
    finally:
        root.setLevel(before)
