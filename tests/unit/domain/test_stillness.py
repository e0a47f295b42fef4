from __future__ import annotations

from domain.stillness import LONGEST_LOOK_S, Stillness


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_changes_begins_anew_and_what_is_forgotten_too() -> None:
    clock = _Clock()
    seen = Stillness(clock)
    assert seen.seconds("a", 1) == 0.0
    clock.now += 4
    assert (seen.seconds("a", 1), seen.seconds("b", 1)) == (4.0, 0.0)
    clock.now += 4
    assert (seen.seconds("a", 1), seen.seconds("b", 1), seen.seconds("a", 2)) == (8.0, 4.0, 0.0)
    clock.now += 4
    seen.keep(["b", "never seen"])
    assert (seen.seconds("a", 2), seen.seconds("b", 1)) == (0.0, 8.0)


def test_who_stood_still_itself_has_not_looked_meanwhile() -> None:
    clock = _Clock()
    seen = Stillness(clock)
    seen.seconds("a", 1)
    clock.now += 3_600
    assert seen.seconds("a", 1) == LONGEST_LOOK_S
