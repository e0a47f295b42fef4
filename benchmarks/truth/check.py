"""A check: nnloop's view and the independent reader's, at one moment of a session."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.truth.compare import (
    Finding,
    Gallery,
    Seen,
    drawn_prediction,
    training_findings,
)
from benchmarks.truth.imports import empty_imports
from benchmarks.truth.nnloop_view import NnloopView
from benchmarks.truth.reader import Reader, newest
from benchmarks.truth.scenes import number_of
from benchmarks.truth.session import Session
from benchmarks.truth.state import State


@dataclass
class Checker:
    """Compares both views of one project; totals go to the session's state."""

    state: State
    reader: Reader
    view: NnloopView
    _gallery: Gallery = field(init=False)
    _said: set[str] = field(default_factory=set)
    _fits: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._gallery = Gallery(self.state.seed)

    def check(self) -> list[Finding]:
        """Lets nnloop come to rest, compares, prints what is new, adds it up."""
        started = time.monotonic()
        faults = self.view.settle()
        self._fits.clear()
        project, tasks = self.reader.project(), self.reader.tasks()
        truths = self.reader.truths(tasks, project["label_config"], self.state.mapping)
        try:
            seen: dict[int, Seen] = self.view.training_view()
        except Exception as error:  # noqa: BLE001 - a fault of the product is what is looked for
            seen = {}
            faults.append(f"preparing the cases failed: {type(error).__name__}: {error}")
        found = training_findings(truths, seen)
        held: dict[int, list[Any]] = {}
        for row in self.reader.predictions():
            held.setdefault(int(row["task"]), []).append(row["result"])
        asked = [task for task in tasks if self._is_asked(task)]
        answered = {i: [r] for i, r in self.view.offered(asked, project).items()}
        found += self._stale(tasks, held, "Label Studio shows")
        found += self._stale(tasks, answered, "/predict answers with")
        found += empty_imports(self.state, tasks)
        self.count(found, faults)
        self.state.checks += 1
        self.state.checked_at = self.state.done
        sums = {kind: sum(f.count for f in found if f.kind == kind) for kind in self.state.totals}
        print(
            f"  check {self.state.checks} after {self.state.done} actions: {sums}; "
            f"{len(tasks)} tasks, {len(truths)} count, {len(seen)} trained on, {len(held)} with a "
            f"prediction, {len(answered)} of {len(asked)} answered, which fit their images by "
            f"{sum(self._fits) / max(1, len(self._fits)):.2f} (Dice); "
            f"{time.monotonic() - started:.1f} s",
            flush=True,
        )
        return found

    def count(self, found: Iterable[Finding], faults: Iterable[str] = ()) -> None:
        """Adds findings to the totals, and prints those that were not there before."""
        where = f"seed {self.state.seed}, action {self.state.done}"
        lines = [f"  ! {where}: {fault}" for fault in faults]
        for finding in found:
            self.state.totals[finding.kind] += finding.count
            key = f"{finding.kind} {finding.task_id} {finding.what}"
            if key not in self._said:
                self._said.add(key)
                lines.append(
                    f"  ! {where}, task {finding.task_id}: {finding.what} "
                    f"({finding.kind} {finding.count})"
                )
        print("\n".join(lines), end="\n" if lines else "", flush=True)

    def _is_asked(self, task: Mapping[str, Any]) -> bool:
        """Whether /predict is asked: what is labelled would cost a prediction of its own.

        Of these, only tasks whose id has shown another image can be answered wrongly.
        """
        return (
            newest(task["annotations"]) is None
            or len(self.state.shown.get(str(task["id"]), ())) > 1
        )

    def _stale(
        self, tasks: Iterable[Mapping[str, Any]], offered: Mapping[int, list[Any]], who: str
    ) -> list[Finding]:
        """Predictions that were made for another image than the task shows."""
        everything = range(self.state.next_scene)
        found = []
        for task in tasks:
            task_id, present = int(task["id"]), number_of(task["data"]["image"])
            for result in offered.get(task_id, ()):
                drawn = drawn_prediction(task, result, self.state.class_of)
                if drawn is None or present is None:
                    continue
                self._fits.append(float(self._gallery.fits(drawn, [present])[0]))
                former = self.state.shown.get(str(task_id), [])
                other = self._gallery.stale(drawn, present, former, everything)
                if other is not None:
                    what = f"{who} what was predicted on scene {other}; it shows scene {present}"
                    found.append(Finding("stale_offered", 1, task_id, what))
        return found


def advance(session: Session, checker: Checker, last: int, every: int, path: Path) -> None:
    """Acts up to action ``last``, checks after each ``every`` and after the last one."""
    state = session.state
    while True:
        is_due = state.done % every == 0 or state.done == last
        if is_due and state.checked_at != state.done:
            checker.check()
            state.save(path)
        if state.done >= last:
            return
        started = time.monotonic()
        done, found = session.act(state.done)
        state.done += 1
        state.counts = dict(Counter(state.counts) + Counter([done.partition(":")[0]]))
        print(f"{state.done} {done} ({time.monotonic() - started:.1f} s)", flush=True)
        checker.count(found)
        state.save(path)
