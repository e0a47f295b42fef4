"""Check, Finding: one question, and what was found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend.doctor.patient import Patient

DEADLINE_S = 10.0
"""Longest time that one check may take, unless it says otherwise."""


class State(StrEnum):
    """How a check ended. What could not be looked at is never fine."""

    FINE = "fine"
    NOTE = "note"
    WRONG = "wrong"
    NOT_LOOKED = "not looked at"


Mend = Callable[[], str]
"""Mends something and says in a sentence what it did; raises NnloopError or OSError."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        state: How it ended.
        answer: A sentence with the value that was found.
        fix: What a person does about it: a command or a setting; "" where nothing is to be done.
        mend: What ``--fix`` does about it; None where that is a person's to decide.
    """

    state: State
    answer: str
    fix: str = ""
    mend: Mend | None = field(default=None, compare=False)


def fine(answer: str) -> Finding:
    """All is as it should be."""
    return Finding(State.FINE, answer)


def note(answer: str, fix: str = "") -> Finding:
    """It works, and there is something to know."""
    return Finding(State.NOTE, answer, fix)


def wrong(answer: str, fix: str, mend: Mend | None = None) -> Finding:
    """Something does not work."""
    return Finding(State.WRONG, answer, fix, mend)


def not_looked(why: str, fix: str = "") -> Finding:
    """It can't be told."""
    return Finding(State.NOT_LOOKED, why, fix)


class NotLookedError(Exception):
    """Raised by a check that can't be done; says why in a few words."""


@dataclass(frozen=True, slots=True)
class Check:
    """One question.

    Attributes:
        id: Its name for programs; stable.
        question: As a person would ask it.
        look: Looks, and returns one finding, or one for each thing that is looked at.
        needs: What must be there to look at all; see ``provides``.
        provides: What is known to be there once this check ended fine or with a note; "" = nothing.
        deadline_s: Longest time for it.
        late: What is wrong when it takes longer; "" = nothing is known then.
        late_fix: What to do then.
    """

    id: str
    question: str
    look: Callable[[Patient], Finding | Iterable[Finding]]
    needs: tuple[str, ...] = ()
    provides: str = ""
    deadline_s: float = DEADLINE_S
    late: str = ""
    late_fix: str = ""
