"""The control arm stays unbiased through whole projects: people, versions, leavers, order by score.

Every simulated person labels the lowest score in their queue, as Label Studio serves it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from active_learning.control_arm import Draw, in_finished_batches
from backend.pipeline.queues import batches
from backend.pipeline.queues.batches import Entry, Rules, Seat, plan
from domain.queues import QueueArm
from tests.unit.backend.pipeline.queues.test_batches import lowest, pool_of

N_TASKS, LENGTH = 160, 10
PROJECTS, N_LABELS = 400, 25


@dataclass
class Project:
    """One project in which two or three people label while versions come and one person leaves."""

    seed: int
    quality: dict[int, float] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    drawn: list[tuple[Entry, float]] = field(default_factory=list)
    labelled: dict[int, float] = field(default_factory=dict)
    newest: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        bad = self.rng.random(N_TASKS) < 0.2
        values = np.where(bad, self.rng.beta(2, 5, N_TASKS), self.rng.beta(14, 3, N_TASKS))
        self.quality = {i + 1: float(q) for i, q in enumerate(values)}
        self.pool = dict(self.quality)
        self.score = self._scored()

    def _scored(self) -> dict[int, float]:
        """What a version expects: near the truth, never the same."""
        return {i: q + self.rng.normal(0, 0.1) for i, q in self.quality.items()}

    def fill(self, people: list[int], *, is_new_version: bool = False) -> None:
        working = {e.annotator_id for e in self.entries}
        if not is_new_version and working == {*people}:
            return
        change = batches.passed_on(self.entries, people, people)
        self.entries = batches.after(self.entries, change)
        control = {e.task_id for e in self.entries if e.arm == QueueArm.CONTROL}
        kept = batches.begun(self.entries, self.score) | control
        if is_new_version:
            self.score = self._scored()
        asked = [
            replace(e, is_replaceable=is_new_version and e.task_id not in kept)
            for e in self.entries
        ]
        clipped = {i: float(np.clip(self.score[i], 0, 1)) for i in self.pool}
        seats = [Seat(person, LENGTH) for person in people]
        change = plan(
            pool_of(clipped),
            asked,
            seats,
            Rules(lowest, 0.2),
            self.newest,
            self.rng,
        )
        # The pool that chance drew from, as it was.
        now = float(np.mean(list(self.pool.values()))) if self.pool else 0.0
        gone = {replace(e, is_replaceable=False) for e in change.withdrawn}
        self.drawn = [(e, m) for e, m in self.drawn if e not in gone]
        self.drawn += [(e, now) for e in change.drawn]
        self.entries = [replace(e, is_replaceable=False) for e in batches.after(asked, change)]
        self.newest = max([self.newest, *(e.batch for e in change.drawn)])

    def label(self, person: int) -> None:
        mine = {e.task_id for e in self.entries if e.annotator_id == person}
        if mine:
            task_id = min(mine, key=lambda i: self.score[i])
            self.labelled[task_id] = self.pool.pop(task_id)
            self.entries = [e for e in self.entries if e.task_id != task_id]

    def run(self) -> None:
        people = [1, 2, 3]
        self.fill(people)
        for step in range(N_LABELS):
            if step == 18:
                people = [1, 2]  # the third leaves with a batch half done
            self.label(people[int(self.rng.integers(len(people)))])
            self.fill(people, is_new_version=step % 7 == 6)

    def draws(self) -> list[tuple[Draw, float]]:
        return [
            (
                Draw(
                    e.batch,
                    e.arm == QueueArm.CONTROL,
                    e.task_id in self.labelled,
                    self.labelled.get(e.task_id),
                ),
                mean,
            )
            for e, mean in self.drawn
        ]


@pytest.mark.slow
def test_finished_batches_give_an_unbiased_estimate_and_all_labelled_ones_would_not() -> None:
    errors, naive = [], []
    for seed in range(PROJECTS):
        project = Project(seed)
        project.run()
        draws = project.draws()
        done = {id(draw) for draw in in_finished_batches(draw for draw, _ in draws)}
        known = [
            (d.quality - mean, id(d) in done)
            for d, mean in draws
            if d.quality is not None and d.is_control
        ]
        if any(is_done for _, is_done in known):
            errors.append(np.mean([off for off, is_done in known if is_done]))
        if known:
            naive.append(np.mean([off for off, _ in known]))
        # Nothing is labelled twice or stands in two queues.
        assert len(project.labelled) == N_LABELS
        assert len({(e.task_id, e.annotator_id) for e in project.entries}) == len(
            {e.task_id for e in project.entries}
        )
    assert len(errors) > PROJECTS / 2
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(len(errors))
    # What the rule is for: of those labelled so far the worst came first.
    assert np.mean(naive) < -0.05


@pytest.mark.slow
def test_no_control_draw_waits_for_ever() -> None:
    """Each is labelled before its annotator has labelled a batch more."""
    project = Project(3)
    waits: list[int] = []
    born: dict[tuple[int, int], int] = {}
    project.fill([1])
    for step in range(100):
        for entry in project.entries:
            if entry.arm == QueueArm.CONTROL:
                born.setdefault((entry.task_id, entry.batch), step)
        project.label(1)
        open_ = {(e.task_id, e.batch) for e in project.entries}
        waits += [step - born.pop(key) for key in list(born) if key not in open_]
        project.fill([1], is_new_version=step % 5 == 4)
    assert len(waits) >= 15
    assert max(waits) <= LENGTH
