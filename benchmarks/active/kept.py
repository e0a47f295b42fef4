"""What was played, as rows that go with the repository (``benchmarks.material.measured``).

A row is a strategy's course from one seed, played to its end, or what all labels together reach.
It bears the key of what it depends on: images, division and rules. Names of images stay out of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from backend.replay.replay import Replay
from backend.replay.results import Full
from backend.replay.rounds import Course
from benchmarks.active.figures import Setting
from benchmarks.material.measured import Measured
from converters.bookkeeping.documents import from_json, to_json, write_document

_NAMED = ("data", "key", "strategy", "seed")


def restore(setting: Setting, replay: Replay, measured: Measured) -> int:
    """Writes courses that are known into the replay's folder, unless it has them; how many."""
    table, n = replay.table, 0
    for row in measured.rows(data=setting.data, key=table.key):
        file = table.course_file(replay.root, row["strategy"], row["seed"])
        n += _write(file, Course, from_json(Course, row["course"]))
    for row in measured.rows(data=setting.data, key=table.full_key):
        n += _write(table.full_file(replay.root, row["seed"]), Full, from_json(Full, row["full"]))
    return n


def keep(setting: Setting, replay: Replay, measured: Measured) -> None:
    """Adds what is played to its end and not in the file yet."""
    known = {tuple(row.get(name) for name in _NAMED) for row in measured.rows(data=setting.data)}
    for row in _rows(setting, replay):
        if tuple(row.get(name) for name in _NAMED) not in known:
            measured.add(row)


def _rows(setting: Setting, replay: Replay) -> Iterator[Mapping[str, Any]]:
    results, table = replay.results(), replay.table
    for seed, full in results.full.items():
        yield {
            "data": setting.data,
            "key": table.full_key,
            "seed": seed,
            "full": to_json(Full, full),
        }
    for course in results.courses:
        if table.is_whole(course):
            rounds = tuple(replace(one, batch=()) for one in course.rounds)
            yield {
                "data": setting.data,
                "key": table.key,
                "budget": setting.budget,
                "strategy": course.strategy,
                "seed": course.seed,
                "course": to_json(Course, replace(course, rounds=rounds)),
            }


def _write(file: Path, kind: type[Any], document: object) -> bool:
    if file.exists():
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    write_document(file, kind, document)
    return True
