from __future__ import annotations

from domain.stillness import Stillness


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_changes_begins_anew_and_what_is_forgotten_too() -> None:
    clock = _Clock()
    seen = Stillness(clock)
    assert seen.seconds("a", 1) == 0.0
    clock.now += 5
    assert (seen.seconds("a", 1), seen.seconds("b", 1)) == (5.0, 0.0)
    clock.now += 5
    assert (seen.seconds("a", 1), seen.seconds("a", 2)) == (10.0, 0.0)
    clock.now += 5
    seen.keep(["b", "never seen"])
    assert (seen.seconds("a", 2), seen.seconds("b", 1)) == (0.0, 10.0)
    seen.forget("b")
    seen.forget("never seen")
    assert seen.seconds("b", 1) == 0.0
