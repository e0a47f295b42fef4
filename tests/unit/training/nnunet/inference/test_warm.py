from __future__ import annotations

from dataclasses import dataclass

from training.nnunet.inference.warm import WarmModels


@dataclass
class FakeModel:
    n_bytes: int


def _keys(warm: WarmModels[FakeModel]) -> list[object]:
    return list(warm._models)


def test_the_model_not_used_for_longest_is_forgotten() -> None:
    warm: WarmModels[FakeModel] = WarmModels(2, 1000)
    first = warm.get("a", lambda: FakeModel(1))
    warm.get("b", lambda: FakeModel(1))
    assert warm.get("a", lambda: FakeModel(2)) is first
    warm.get("c", lambda: FakeModel(1))
    assert _keys(warm) == ["a", "c"]


def test_memory_is_bounded_but_the_newest_stays() -> None:
    warm: WarmModels[FakeModel] = WarmModels(9, 100)
    for name in "abc":
        warm.get(name, lambda: FakeModel(40))
    assert _keys(warm) == ["b", "c"]
    assert warm.n_bytes == 80
    warm.get("huge", lambda: FakeModel(400))
    assert _keys(warm) == ["huge"]
    warm.get("d", lambda: FakeModel(40))
    assert _keys(warm) == ["d"]


def test_a_model_that_grew_counts_as_it_is_now() -> None:
    warm: WarmModels[FakeModel] = WarmModels(9, 100)
    warm.get("a", lambda: FakeModel(40))
    growing = warm.get("b", lambda: FakeModel(40))
    growing.n_bytes = 90
    warm.get("b", lambda: FakeModel(40))
    assert _keys(warm) == ["b"]
    assert len(warm) == 1
