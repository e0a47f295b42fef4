"""What may be wrong with a label."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, width, height in pixels of the image."""


class DoubtKind(StrEnum):
    """What may be wrong with a label map."""

    WRONG_CLASS = "wrong class"
    MISSING_OBJECT = "missing object"
    EMPTY = "empty by mistake"
    SHIFTED = "shifted outline"
    COARSE = "coarse outline"


@dataclass(frozen=True, slots=True)
class Doubt:
    """One thing that may be wrong with a label map.

    Attributes:
        kind: What.
        strength: In [0, 1]; comparable among doubts of one kind.
        label: The class in question: as labelled; of a missing object as predicted.
        other: The class predicted in its place; 0 = none.
        box: Where.
    """

    kind: DoubtKind
    strength: float
    label: int
    other: int
    box: Box


DoubtsPerCase: TypeAlias = dict[str, tuple[Doubt, ...]]
"""Case id -> its doubts, at most one of a kind; a case without any is there, too."""


@dataclass(frozen=True, slots=True)
class NamedDoubt:
    """A doubt in the words of a project, as it is stored; as ``Doubt``, "" = no other class."""

    kind: DoubtKind
    strength: float
    label: str
    other: str
    box: Box

    def called(self, label: str, other: str) -> NamedDoubt:
        """The same under other names of the classes."""
        return replace(self, label=label, other=other)

    @property
    def sentence(self) -> str:
        """What speaks against the label."""
        return _SENTENCES[self.kind].format(label=self.label, other=self.other)


_WITNESS = "the model, which has not seen it,"

_SENTENCES = {
    DoubtKind.WRONG_CLASS: f"{{label}} is drawn where {_WITNESS} is sure of {{other}}",
    DoubtKind.MISSING_OBJECT: f"nothing is drawn where {_WITNESS} is sure of {{label}}",
    DoubtKind.EMPTY: f"it was submitted empty, but {_WITNESS} is sure of {{label}}",
    DoubtKind.SHIFTED: f"{{label}} is drawn beside the place where {_WITNESS} sees it",
    DoubtKind.COARSE: f"{{label}} has few corners and cuts through what {_WITNESS} sees of it",
}
