from __future__ import annotations

from enum import StrEnum

import pytest

from domain.errors import TransitionError
from domain.state_machine import State, StateMachine, Transition
from domain.states import CONTROL, FOLD, RUN, FoldStatus, RunControl, RunStatus


class Light(StrEnum):
    RED = "red"
    GREEN = "green"
    OFF = "off"


LIGHT = StateMachine(
    "light",
    (State(Light.RED, "stop"), State(Light.GREEN, "go"), State(Light.OFF, "broken")),
    (
        Transition((Light.RED,), Light.GREEN, "`go`", "clock"),
        Transition((Light.GREEN,), Light.RED, "stop", "clock"),
        Transition((Light.GREEN,), Light.GREEN, "more cars", "sensor"),
        Transition((Light.RED, Light.GREEN), Light.OFF, "no current", "-"),
    ),
)


def test_what_a_machine_knows() -> None:
    assert (LIGHT.active, LIGHT.final) == ((Light.RED, Light.GREEN), (Light.OFF,))
    assert LIGHT.before(Light.GREEN) == (Light.RED, Light.GREEN)
    LIGHT.check(Light.GREEN, Light.GREEN)
    with pytest.raises(TransitionError, match="A light that is red can't become red") as refused:
        LIGHT.check(Light.RED, Light.RED)
    assert refused.value.remedy == "From red it goes to green or off."
    with pytest.raises(TransitionError) as refused:
        LIGHT.check(Light.OFF, Light.RED)
    assert refused.value.remedy == "Nothing more happens to a light that is off."


def test_a_machine_is_drawn() -> None:
    assert LIGHT.diagram().splitlines() == [
        "stateDiagram-v2",
        "    state active {",
        "        [*] --> red",
        "        red --> green: go",
        "        green --> red: stop",
        "        green --> green: more cars",
        "    }",
        "    active --> off: no current",
        "    off --> [*]",
    ]
    assert LIGHT.transitions_table().splitlines()[2:] == [
        "| `red` | `green` | `go` | clock |",
        "| `green` | `red` | stop | clock |",
        "| `green` | `green` | more cars | sensor |",
        "| any active state | `off` | no current | - |",
    ]
    # Nobody is at work in any of its states, so the columns that would say so are left out.
    assert LIGHT.states_table().splitlines()[:3] == [
        "| State | Meaning |",
        "|---|---|",
        "| `red` | stop |",
    ]


@pytest.mark.parametrize(
    ("machine", "words", "final"),
    [
        (RUN, RunStatus, {"done", "failed", "cancelled"}),
        (CONTROL, RunControl, {"cancel"}),
        (FOLD, FoldStatus, {"done", "failed"}),
    ],
)
def test_the_tables_know_every_state_and_each_can_be_reached(
    machine: StateMachine[StrEnum], words: type[StrEnum], final: set[str]
) -> None:
    assert list(machine.states) == list(words)
    assert set(machine.final) == final
    first, *others = words
    reached = {first}
    while new := {after for before, after in machine.allowed if before in reached} - reached:
        reached |= new
    assert reached == {first, *others}


# The way of a run that goes well, and the ways it ends otherwise.
GOES_ON = {
    "queued": {"preparing"},
    "preparing": {"training"},
    "training": {"evaluating"},
    "evaluating": {"scoring", "done"},
    "scoring": {"publishing"},
    "publishing": {"done"},
}


@pytest.mark.parametrize("before", list(RunStatus))
@pytest.mark.parametrize("after", list(RunStatus))
def test_a_run_goes_this_way_and_no_other(before: RunStatus, after: RunStatus) -> None:
    ends = {"failed", "cancelled"} if before in GOES_ON else set()
    if after in GOES_ON.get(before, set()) | ends:
        RUN.check(before, after)
    else:
        with pytest.raises(TransitionError, match=f"{before} can't become {after}"):
            RUN.check(before, after)
