"""Text of other programs, fit for a sentence of nnloop's."""

from __future__ import annotations

import difflib
import re
import reprlib
from collections.abc import Iterable

LONGEST = 300
"""Characters that a text of another program may take within an error or a problem."""

_LONGEST_NAME = 255
"""Bytes of a file's name."""

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_UNSEEN = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+"
)


def one_line(text: object, limit: int = LONGEST) -> str:
    r"""A text as one line: no terminal codes, no control characters, runs of spaces as one.

    Args:
        text: Anything; its ``str`` counts.
        limit: Most characters of the result; what is cut off shows as ``...``.

    >>> one_line("Traceback:\n  File \x1b[31mx\x1b[0m")
    'Traceback: File x'
    """
    # A page of HTML may be megabytes; what lies far behind the limit is not even looked at.
    start = str(text)[: 20 * limit + 2_000]
    line = " ".join(_UNSEEN.sub(" ", _ANSI.sub("", start)).split())
    return line if len(line) <= limit else line[: limit - 3].rstrip() + "..."


def sayable(text: str) -> str:
    r"""A text without halves of characters, which no terminal and no database takes.

    >>> sayable("scan \ud83d.png")
    'scan ?.png'
    """
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def is_file_name(text: str) -> bool:
    """Whether a file system takes a text as the name of a file; asked for others, it raises."""
    try:
        return 0 < len(text.encode()) <= _LONGEST_NAME and "\0" not in text and "/" not in text
    except UnicodeEncodeError:  # half a character
        return False


def counted(n: int, one: str, several: str = "") -> str:
    """How many of something there are.

    Args:
        n: How many.
        one: The word for one.
        several: The word for more, or none; by default with an s.

    >>> counted(1, "task"), counted(12, "task"), counted(2, "entry", "entries")
    ('1 task', '12 tasks', '2 entries')
    """
    return f"{n} {one if n == 1 else several or one + 's'}"


def signed(value: float, digits: int) -> str:
    """A difference with its sign; what rounds to nothing has none.

    >>> signed(0.0123, 3), signed(-0.0123, 3), signed(-0.0001, 3)
    ('+0.012', '-0.012', '0.000')
    """
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"


_ALIKE = 0.6
"""Share of equal characters from which two names look like each other."""


def closest_first(name: str, known: Iterable[str]) -> list[str]:
    """Names, those that look like one that was meant before the others; else in their order.

    >>> closest_first("lumne", ["wall", "plaque", "Lumen"])
    ['Lumen', 'wall', 'plaque']
    """

    def unlike(other: str) -> float:
        alike = difflib.SequenceMatcher(None, name.casefold(), other.casefold()).ratio()
        return -alike if alike >= _ALIKE else 0.0

    return sorted(known, key=unlike)


class _ShortRepr(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 2
        self.maxlist = self.maxdict = 4
        self.maxstring = self.maxother = 60

    def repr_int(self, x: int, level: int) -> str:
        # Python refuses to write integers of more than 4,300 digits.
        return repr(x) if abs(x) < 10**30 else "a huge integer"


_repr = _ShortRepr()


def shown(value: object) -> str:
    """A short ``repr``, whatever the value: deep, long, or an integer of a million digits."""
    return _repr.repr(value)
