"""Rounds: one strategy from one seed on: label, train, measure, choose, and again."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from active_learning.effort import Effort
from active_learning.strategies import Pool, acting_strategy, strategy_by_name, unpredicted
from backend.replay.annotator import Work
from backend.replay.images.embeddings import Embeddings
from backend.replay.images.library import LibraryCase
from backend.replay.look import Look
from backend.replay.options import ORACLE, RANDOM, STRATIFIED, ReplayOptions
from converters.bookkeeping.documents import read_document, write_document
from domain.hashing import content_hash
from training.evaluation import ClassDice, mean_over_cases, mean_over_classes

MEASURES = ("entropy", "mutual_information", "pairwise_dice", "soft_dice")

QUALITY = "soft_dice"
"""The measure that stands for the score: what a project's score is calibrated from, which never
turns an order round."""

_START, _CHOICE, _CLICKS = 1, 2, 3
"""What a generator of a seed is for: none is shared."""


class Team(Protocol):
    """Everything around the rounds that takes time: training, predicting, correcting."""

    def look(
        self, labelled: Sequence[LibraryCase], cases: Sequence[LibraryCase], seed: int
    ) -> Mapping[str, Look]:
        """Case id -> what networks trained on the labelled ones say of it."""
        ...

    def label(
        self, labelled: Sequence[LibraryCase], batch: Sequence[LibraryCase], seed: int
    ) -> Sequence[Work]:
        """The work of labelling a batch that these networks have predicted; without any, drawn."""
        ...

    def forget(self, labelled: Sequence[LibraryCase], seed: int) -> None:
        """These networks are not needed again."""
        ...


@dataclass(frozen=True, slots=True)
class Round:
    """One round.

    Attributes:
        number: 1, 2, ...
        n_labelled: Images trained on.
        batch: Those that came in this round, in the order chosen.
        acting: The strategy that chose them.
        work: Effort of labelling them, from their predictions.
        seconds: The same in seconds by the annotator's times.
        scratch_s: Had all of them been drawn.
        dice: On the test set, mean over the classes that it shows (``quality_of``), in [0, 1];
            None where it shows none.
        dice_per_class: Class -> mean over the test images that say something, or None.
    """

    number: int
    n_labelled: int
    batch: tuple[str, ...]
    acting: str
    work: Effort
    seconds: float
    scratch_s: float
    dice: float | None
    dice_per_class: ClassDice

    @property
    def quality(self) -> float | None:
        """``dice``, None where it is no figure: earlier ones wrote 0 where no class was there."""
        return known_quality(self.dice, self.dice_per_class)


@dataclass(frozen=True, slots=True)
class Course:
    """The rounds of a strategy and a seed, as far as they are played: a document."""

    strategy: str
    seed: int
    rounds: tuple[Round, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """What is played on.

    Attributes:
        pool: What may be labelled.
        test: What is measured on; nothing else sees it.
        options: The rules.
        embeddings: Of the pool, or None.
    """

    pool: tuple[LibraryCase, ...]
    test: tuple[LibraryCase, ...]
    options: ReplayOptions
    embeddings: Embeddings | None = None

    @property
    def key(self) -> str:
        """Names what the rounds depend on, besides strategy and seed."""
        known = [self._images(), self.options.rules(), self.embeddings is not None]
        return content_hash(known)[:12]

    @property
    def full_key(self) -> str:
        """Names what training on all labels depends on, besides the seed."""
        preset = asdict(self.options.training_preset)
        return content_hash([self._images(), preset])[:12]

    def _images(self) -> list[list[list[str]]]:
        return [
            [[case.case_id, case.group, case.content_hash] for case in cases]
            for cases in (self.pool, self.test)
        ]

    def course_file(self, root: Path, strategy: str, seed: int) -> Path:
        """Where a course is kept."""
        return root / "courses" / self.key / f"{strategy}-{seed}.json"

    def full_file(self, root: Path, seed: int) -> Path:
        """Where it is kept what training on all labels reaches."""
        return root / "courses" / self.full_key / f"full-{seed}.json"

    def is_whole(self, course: Course) -> bool:
        """Whether nothing of it is left to play."""
        n_labelled = course.rounds[-1].n_labelled if course.rounds else 0
        return len(course.rounds) >= self.options.rounds or n_labelled >= len(self.pool)


def play(
    table: Table,
    strategy: str,
    seed: int,
    team: Team,
    file: Path,
    on_round: Callable[[Round], None] = lambda _: None,
) -> Course:
    """Plays a strategy to its end; goes on after the last round that is on disk.

    Args:
        table: What is played on.
        strategy: Its name.
        seed: Decides the start, every draw, the clicks and the networks.
        team: Trains, predicts and corrects.
        file: The course, written after each round.
        on_round: Called after each round that was played now.
    """
    course = read_document(file, Course) if file.exists() else Course(strategy, seed)
    by_id = {case.case_id: case for case in table.pool}
    while not table.is_whole(course):
        number = len(course.rounds) + 1
        labelled = labelled_in(course, by_id)
        if labelled:
            batch, acting = _next_batch(table, strategy, (seed, number), team, labelled)
        else:
            batch, acting = _start(table, strategy, seed)
        works = team.label(labelled, batch, seed)
        before, labelled = labelled, [*labelled, *batch]
        seen = team.look(labelled, table.test, seed)
        per_class = mean_over_cases({case_id: look.dice for case_id, look in seen.items()})
        played = Round(
            number=number,
            n_labelled=len(labelled),
            batch=tuple(case.case_id for case in batch),
            acting=acting,
            work=sum((work.corrected for work in works), Effort()),
            seconds=sum(work.seconds for work in works),
            scratch_s=sum(work.scratch_s for work in works),
            dice=quality_of(per_class, table.test),
            dice_per_class=per_class,
        )
        course = Course(strategy, seed, (*course.rounds, played))
        write_document(file, Course, course)
        # Those of the start may be other strategies' too.
        if number > 2:
            team.forget(before, seed)
        on_round(played)
    if len(course.rounds) > 1:
        team.forget(labelled_in(course, by_id), seed)
    return course


def quality_of(per_class: ClassDice, test: Sequence[LibraryCase]) -> float | None:
    """Mean Dice over the classes that the test set shows; None where it shows none.

    Of a class that is in none of its images nothing can be measured. Where it is predicted once
    its Dice is 0, else unknown: with it in the mean no two rounds would be of the same classes.

    Args:
        per_class: Every class -> mean Dice, in integer order; of no image {}.
        test: The images that were looked at.
    """
    if not test:
        return None
    is_shown = [any(shares) for shares in zip(*(case.shares for case in test), strict=True)]
    shown = zip(per_class.items(), is_shown, strict=True)
    return mean_over_classes({name: dice for (name, dice), is_there in shown if is_there})


def known_quality(dice: float | None, per_class: ClassDice) -> float | None:
    """A Dice that is one: finite, and of a class that says something."""
    if dice is None or not math.isfinite(dice):
        return None
    return None if per_class and all(one is None for one in per_class.values()) else dice


def labelled_in(course: Course, by_id: Mapping[str, LibraryCase]) -> list[LibraryCase]:
    """All that is labelled after the last round, in order."""
    return [by_id[case_id] for one in course.rounds for case_id in one.batch]


def clicks(seed: int, case_id: str) -> np.random.Generator:
    """How the hand trembles at an image: the same whoever chose it, and when."""
    return np.random.default_rng([_CLICKS, seed, int(content_hash(case_id)[:12], 16)])


def chooses_its_start(strategy: str, table: Table) -> bool:
    """Whether it knows what to do before there is a model."""
    if strategy in (ORACLE, RANDOM) or table.embeddings is None:
        return False
    return acting_strategy(strategy, _cold(table)) == strategy


def _cold(table: Table) -> Pool:
    ids = np.arange(len(table.pool), dtype=np.int64)
    vectors = table.embeddings.of(table.pool) if table.embeddings else None
    return unpredicted(ids, n_classes=len(table.pool[0].shares), embeddings=vectors)


def _start(table: Table, strategy: str, seed: int) -> tuple[list[LibraryCase], str]:
    """The first batch: random, the same for all strategies, but for those that choose theirs.

    Where none of it shows any class, more come until one does: nothing could be learned.
    """
    order = np.random.default_rng([_START, seed]).permutation(len(table.pool)).tolist()
    n, acting = min(table.options.start, len(order)), RANDOM
    if chooses_its_start(strategy, table):
        rng = np.random.default_rng([_CHOICE, seed, 0])
        chosen = strategy_by_name(strategy)(_cold(table), n, rng).tolist()
        order = [*chosen, *(position for position in order if position not in set(chosen))]
        acting = strategy
    while n < len(order) and not any(any(table.pool[i].shares) for i in order[:n]):
        n += 1
    return [table.pool[position] for position in order[:n]], acting


def _next_batch(
    table: Table,
    strategy: str,
    seed_and_number: tuple[int, int],
    team: Team,
    labelled: Sequence[LibraryCase],
) -> tuple[list[LibraryCase], str]:
    seed, number = seed_and_number
    taken = {case.case_id for case in labelled}
    left = [case for case in table.pool if case.case_id not in taken]
    rng = np.random.default_rng([_CHOICE, seed, number])
    # Whom predictions don't interest needs none.
    seen = team.look(labelled, left, seed) if strategy not in (RANDOM, ORACLE) else {}
    pool = pool_of(table, left, seen, labelled)
    name = strategy
    if strategy == ORACLE:
        name = STRATIFIED
        truth = np.array([case.shares for case in left], np.float64).reshape(len(left), -1)
        pool = replace(pool, class_shares=truth)
    chosen = strategy_by_name(name)(pool, table.options.batch, rng)
    acting = ORACLE if strategy == ORACLE else acting_strategy(name, pool)
    return [left[int(row)] for row in chosen], acting


def pool_of(
    table: Table,
    left: Sequence[LibraryCase],
    seen: Mapping[str, Look],
    labelled: Sequence[LibraryCase],
) -> Pool:
    """What a strategy may look at of the images that are left; nothing of those without a look."""
    positions = {case.case_id: row for row, case in enumerate(table.pool)}
    rows = [seen.get(case.case_id) for case in left]
    options, nan = table.options, float("nan")
    unknown = (nan,) * len(left[0].shares) if left else ()
    planned = options.start + options.batch * (options.rounds - 1)
    shares = [unknown if look is None else look.shares for look in rows]
    embeddings = table.embeddings
    return Pool(
        task_ids=np.array([positions[case.case_id] for case in left], np.int64),
        quality=np.array([nan if look is None else look.measures[QUALITY] for look in rows]),
        measures={
            name: np.array([nan if look is None else look.measures.get(name, nan) for look in rows])
            for name in MEASURES
        },
        class_shares=np.array(shares, np.float64).reshape(len(left), -1),
        embeddings=embeddings.of(left) if embeddings else None,
        labelled_embeddings=embeddings.of(labelled) if embeddings else None,
        progress=min(len(labelled) / planned, 1.0),
    )
