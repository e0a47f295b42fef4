from __future__ import annotations

import json
import logging
import re
import sys
import threading
from io import StringIO

import pytest

from backend import log_lines
from backend.log_lines import JsonLines, TextLines, about, carried

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d (.*)")


@pytest.fixture
def said() -> tuple[logging.Logger, StringIO]:
    """A logger, and what it writes."""
    logger, stream = logging.Logger("backend.x"), StringIO()
    logger.addHandler(logging.StreamHandler(stream))
    return logger, stream


def _form(logger: logging.Logger, form: logging.Formatter) -> None:
    logger.handlers[0].setFormatter(form)


def test_a_line_says_what_it_belongs_to(said: tuple[logging.Logger, StringIO]) -> None:
    logger, stream = said
    _form(logger, TextLines())
    with about(job="sync-1", project=1):
        logger.info("a")
        with about(run=5, project=2):
            logger.warning("b\nERROR forged: c")
        logger.info("d")
    logger.info("e")
    found = [LINE.fullmatch(line) for line in stream.getvalue().splitlines()]
    assert [one and one[1] for one in found] == [
        "INFO project=1 job=sync-1 backend.x: a",
        "WARNING project=2 run=5 job=sync-1 backend.x: b\\nERROR forged: c",
        "INFO project=1 job=sync-1 backend.x: d",
        "INFO backend.x: e",
    ]


def test_json_is_one_line_with_its_exception(said: tuple[logging.Logger, StringIO]) -> None:
    logger, stream = said
    _form(logger, JsonLines())
    try:
        try:
            raise ValueError("inner\u2028 \N{SNOWMAN}")
        except ValueError as error:
            raise RuntimeError("outer\nline") from error
    except RuntimeError:
        with about(project=1, fold=0):
            logger.exception("It failed:\n%s", "twice")
    (line,) = stream.getvalue().splitlines()
    value = json.loads(line)
    assert list(value) == ["time", "level", "project", "fold", "logger", "message", "exception"]
    assert (value["level"], value["project"], value["fold"]) == ("ERROR", 1, 0)
    assert value["message"] == "It failed:\ntwice"
    assert "inner\u2028 \N{SNOWMAN}" in value["exception"]
    assert value["exception"].endswith("RuntimeError: outer\nline")


def test_a_thread_carries_it_and_others_do_not(said: tuple[logging.Logger, StringIO]) -> None:
    logger, stream = said
    _form(logger, TextLines())

    def work(n: int) -> None:
        logger.info("%d", n)
        with about(run=n):  # stays in the thread
            logger.info("%d", n)

    with about(project=1):
        threads = [
            threading.Thread(target=carried(work), args=(1,)),
            threading.Thread(target=work, args=(2,)),
        ]
        for thread in threads:
            thread.start()
            thread.join()
        logger.info("end")
    lines = [line.partition(" INFO ")[2] for line in stream.getvalue().splitlines()]
    assert lines == [
        "project=1 backend.x: 1",
        "project=1 run=1 backend.x: 1",
        "backend.x: 2",
        "run=2 backend.x: 2",
        "project=1 backend.x: end",
    ]


def test_services_log_whatever_would_be_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    root, stream = logging.getLogger(), StringIO()
    handler = logging.StreamHandler(stream)
    monkeypatch.setattr(root, "handlers", [handler])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    level = root.level
    try:
        log_lines.serve_lines("INFO", "json")
        thread = threading.Thread(target=lambda: 1 / 0, name="t")
        thread.start()
        thread.join()
        error = ValueError("v")
        sys.excepthook(ValueError, error, None)
    finally:
        logging.captureWarnings(False)
        root.setLevel(level)
    of_thread, of_process = map(json.loads, stream.getvalue().splitlines())
    assert "ZeroDivisionError" in of_thread["exception"] and "'t'" in of_thread["message"]
    assert (of_process["level"], of_process["exception"]) == ("CRITICAL", "ValueError: v")
