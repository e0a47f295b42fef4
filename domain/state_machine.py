"""A state machine as a table: which transitions there are, and its page for a reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from domain.errors import TransitionError

S = TypeVar("S", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class State(Generic[S]):
    """One state. ``holds_lease``: who works on the row holds its lease and renews it."""

    name: S
    meaning: str
    at_work: str = "-"
    holds_lease: bool = False


@dataclass(frozen=True, slots=True)
class Transition(Generic[S]):
    """From each of ``before`` to ``after``, when ``event`` happens; ``mover`` writes it down."""

    before: tuple[S, ...]
    after: S
    event: str
    mover: str


class StateMachine(Generic[S]):
    """States, the first one first, and the transitions between them.

    A state that no transition leaves is final. One that stays what it is takes no transition,
    unless the table has one from it to itself.
    """

    def __init__(
        self, noun: str, states: Sequence[State[S]], transitions: Sequence[Transition[S]]
    ) -> None:
        self.noun = noun
        self.states = {state.name: state for state in states}
        self.transitions = tuple(transitions)
        self.allowed = frozenset((b, t.after) for t in self.transitions for b in t.before)
        left = {before for before, after in self.allowed if before != after}
        self.active = tuple(name for name in self.states if name in left)
        self.final = tuple(name for name in self.states if name not in left)

    def before(self, after: S) -> tuple[S, ...]:
        """The states from which there is a transition to this one."""
        return tuple(name for name in self.states if (name, after) in self.allowed)

    def check(self, before: S, after: S) -> None:
        """Raises TransitionError for a transition that is not in the table."""
        if (before, after) not in self.allowed:
            to = [name for name in self.states if (before, name) in self.allowed]
            raise TransitionError(
                f"A {self.noun} that is {before} can't become {after}.",
                remedy=f"From {before} it goes to {' or '.join(to)}."
                if to
                else f"Nothing more happens to a {self.noun} that is {before}.",
            )

    def states_table(self) -> str:
        """The states as a Markdown table."""
        rows = [("State", "Meaning", "At work", "Lease")]
        for state in self.states.values():
            lease = "held" if state.holds_lease else "-"
            rows.append((f"`{state.name}`", state.meaning, state.at_work, lease))
        return _table(rows)

    def transitions_table(self) -> str:
        """The transitions as a Markdown table."""
        rows = [("From", "To", "When", "Written by")]
        for step in self.transitions:
            names = ", ".join(f"`{name}`" for name in step.before)
            before = "any active state" if self._leaves_all(step) else names
            rows.append((before, f"`{step.after}`", step.event, step.mover))
        return _table(rows)

    def diagram(self) -> str:
        """The transitions in Mermaid's words; one that leaves every active state is one arrow."""
        inner, outer = [f"[*] --> {next(iter(self.states))}"], []
        for step in self.transitions:
            arrow = f"{step.after}: {step.event.replace('`', '')}"
            if self._leaves_all(step):
                outer.append(f"active --> {arrow}")
            else:
                lines = inner if step.after in self.active else outer
                lines.extend(f"{before} --> {arrow}" for before in step.before)
        outer += [f"{name} --> [*]" for name in self.final]
        return "\n".join(
            [
                "stateDiagram-v2",
                "    state active {",
                *(f"        {line}" for line in inner),
                "    }",
                *(f"    {line}" for line in outer),
            ]
        )

    def _leaves_all(self, step: Transition[S]) -> bool:
        return step.before == self.active


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    """Markdown; a column that says nothing in any row is left out."""
    columns = [column for column in zip(*rows, strict=True) if {*column[1:]} != {"-"}]
    lines = [f"| {' | '.join(cells)} |" for cells in zip(*columns, strict=True)]
    return "\n".join([lines[0], "|---" * len(columns) + "|", *lines[1:]])
