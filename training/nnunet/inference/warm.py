"""WarmModels: the models used last, within a number and an amount of memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """Something that says how much memory it takes."""

    @property
    def n_bytes(self) -> int:
        """Memory it takes now, in bytes."""
        ...


T = TypeVar("T", bound=Sized)


class WarmModels(Generic[T]):
    """Forgets the model that was not used for longest. For one thread.

    Who still holds a forgotten model may go on using it; its memory goes with the last reference.
    """

    def __init__(self, max_models: int, max_bytes: int) -> None:
        """The newest model is kept even when it alone takes more than ``max_bytes``."""
        self.max_models, self.max_bytes = max_models, max_bytes
        self._models: OrderedDict[Hashable, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._models)

    @property
    def n_bytes(self) -> int:
        """Memory of all of them, in bytes."""
        return sum(model.n_bytes for model in self._models.values())

    def get(self, key: Hashable, load: Callable[[], T]) -> T:
        """The model of this key, loaded if it is not warm; then what is too much is forgotten."""
        if key in self._models:
            self._models.move_to_end(key)
        else:
            self._models[key] = load()
        # Also for a model that was warm: it may have grown since.
        while len(self._models) > 1 and (
            len(self._models) > self.max_models or self.n_bytes > self.max_bytes
        ):
            self._models.popitem(last=False)
        return self._models[key]
