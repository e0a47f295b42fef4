"""Classes that are a left and a right of the same, by their names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

_SIDES = (
    ("left", "right"),
    ("l", "r"),
    ("lt", "rt"),
    ("links", "rechts"),
    ("linke", "rechte"),
    ("linker", "rechter"),
    ("linkes", "rechtes"),
    ("gauche", "droite"),
    ("gauche", "droit"),
    ("izquierda", "derecha"),
    ("izquierdo", "derecho"),
    ("esquerda", "direita"),
    ("esquerdo", "direito"),
    ("sinistra", "destra"),
    ("sinistro", "destro"),
    ("sinister", "dexter"),
    ("sin", "dex"),
    ("left", "rigth"),
)
"""Words for the two sides; the last is the commonest slip of the pen."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[^\W\d_]+|\d+")


def named_pairs(class_values: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """The classes whose names differ in the word for the side alone.

    Args:
        class_values: Class names in integer order, background left out.

    Returns:
        Pairs of class integers (from 1 on), left before right. A class is in one pair at most.

    >>> named_pairs(["left lung", "heart", "right lung"])
    ((1, 3),)
    >>> named_pairs(["LungR", "LungL"])
    ((2, 1),)
    >>> named_pairs(["œil gauche e\u0301", "œil droit \u00e9"])
    ((1, 2),)
    >>> named_pairs(["right of way", "road"])
    ()
    """
    names = {tuple(_words(name)): k for k, name in enumerate(class_values, start=1)}
    found: list[tuple[int, int]] = []
    taken: set[int] = set()
    for words, k in names.items():
        for other in _right_of(words):
            partner = names.get(other)
            if partner is not None and not {k, partner} & taken:
                found.append((k, partner))
                taken |= {k, partner}
    return tuple(found)


def _words(name: str) -> list[str]:
    # One letter may be written in two ways (an accent of its own, full width).
    return [word.casefold() for word in _WORD.findall(unicodedata.normalize("NFKC", name))]


def _right_of(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The names of the other side, of a name of the left one."""
    for position, word in enumerate(words):
        for left, right in _SIDES:
            if word == left:
                yield (*words[:position], right, *words[position + 1 :])
