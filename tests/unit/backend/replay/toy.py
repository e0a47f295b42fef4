"""A team without networks: what it says of an image follows from how many alike are labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from active_learning.effort import Effort
from backend.replay.annotator import Work
from backend.replay.images.library import LibraryCase
from backend.replay.look import Look

N_KINDS = 5
CLASSES = ("common", "rare")


def toy_cases(n: int, *, prefix: str = "case") -> tuple[LibraryCase, ...]:
    """Every fifth image has the rare class, every fourth none."""
    return tuple(
        LibraryCase(
            f"{prefix}{i:03d}",
            f"{prefix}{i:03d}",
            f"hash{prefix}{i}",
            (0.0 if i % 4 == 3 else 0.2, 0.1 if i % 5 == 4 else 0.0),
        )
        for i in range(n)
    )


class ToyTeam:
    """Networks that know an image the better, the more of its kind they were trained on."""

    def __init__(self) -> None:
        self.looked: list[tuple[int, int]] = []
        self.forgotten: list[tuple[str, ...]] = []
        self.dies_at = -1
        """Looks after which it dies, once."""

    def look(
        self, labelled: Sequence[LibraryCase], cases: Sequence[LibraryCase], seed: int
    ) -> Mapping[str, Look]:
        self.looked.append((len(labelled), len(cases)))
        if len(self.looked) == self.dies_at:
            raise KeyboardInterrupt
        return {case.case_id: self._look(labelled, case) for case in cases}

    def label(
        self, labelled: Sequence[LibraryCase], batch: Sequence[LibraryCase], seed: int
    ) -> Sequence[Work]:
        scratch = Effort(n_drawn=1, points_drawn=20)
        corrected = Effort(n_edited=1, points_moved=3) if labelled else scratch
        return [Work(corrected, scratch) for _ in batch]

    def forget(self, labelled: Sequence[LibraryCase], seed: int) -> None:
        self.forgotten.append(tuple(case.case_id for case in labelled))

    def _look(self, labelled: Sequence[LibraryCase], case: LibraryCase) -> Look:
        alike = sum(other.shares == case.shares for other in labelled)
        dice = alike / (alike + 3)
        noise = np.random.default_rng([len(labelled), int(case.case_id[-3:])])
        seen = float(np.clip(dice + noise.normal(0, 0.02), 0, 1))
        return Look(
            dice={
                name: dice if share else None
                for name, share in zip(CLASSES, case.shares, strict=True)
            },
            measures={
                "soft_dice": seen,
                "pairwise_dice": seen,
                "entropy": 1 - seen,
                "mutual_information": 1 - seen,
            },
            shares=case.shares,
        )
