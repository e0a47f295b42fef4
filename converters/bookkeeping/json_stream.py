"""Large JSON files piece by piece: memory for one piece, and a place for every error.

The top level of an export is a list of thousands of tasks. It is cut into its elements by their
brackets, and each element is parsed on its own. So a fault inside an element (NaN, a number of a
million digits, bytes that are no UTF-8) costs that element, not the file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from domain.errors import FileFormatError

MAX_PIECE_BYTES = 32 * 1024 * 1024
"""A larger element is refused: a 4K brush mask takes a few MB, and parsed JSON about ten times
its text."""

MAX_DEPTH = 64
"""Deeper nesting is refused: Label Studio's exports need about 10."""

_CHUNK = 1024 * 1024
_SPACE = b" \t\r\n"
_DEEP = re.compile(rb'\[[-+0-9.eE,\s]*\]|["\[\]{}]')
"""A bracket or quote; a list of numbers (most of an export) counts as one token."""
_STRING = re.compile(rb'\\[\s\S]|"')
_SCALAR_END = re.compile(rb"[,\]}\s]")
_OPENING = (ord("["), ord("{"))
_STARTS = frozenset(b'[{"-0123456789tfnNI')
"""How JSON begins, with the NaN and Infinity that some write."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One element of a JSON file.

    ``key`` is the member's name in an object, ``group`` the name of the top-level member the
    element lies in ("" for elements of the top level itself), ``index`` its number from 1 and
    ``offset`` the byte it starts at.
    """

    group: str
    key: str
    index: int
    offset: int
    raw: bytes
    file_name: str

    @property
    def place(self) -> str:
        """The element in words: ``element 3 (byte 1042) of export.json``."""
        inside = f" of {self.group!r}" if self.group else ""
        what = f"member {self.key[:80]!r}" if self.key else f"element {self.index}"
        return f"{what}{inside} (byte {self.offset:,}) of {self.file_name}"

    def parse(self, *, takes_nan: bool = False) -> Any:
        """The element as a Python value.

        Args:
            takes_nan: NaN and infinity come as floats; whoever asks so looks at every number.

        Raises:
            FileFormatError: It is no JSON, is no UTF-8, or holds NaN or infinity.
        """
        try:
            constant = float if takes_nan else _refuse_constant
            return json.loads(self.raw.decode("utf-8"), parse_constant=constant)
        except UnicodeDecodeError as error:
            raise _fault(self.place, f"is not UTF-8 ({error.reason})") from error
        except json.JSONDecodeError as error:
            at = self.offset + len(error.doc[: error.pos].encode())
            raise _fault(self.place, f"is no JSON: {error.msg} at byte {at:,}") from error
        except (ValueError, RecursionError) as error:
            raise _fault(self.place, f"can't be read: {error}") from error


def iter_json(path: Path, into: Collection[str] = ()) -> Iterator[Piece]:
    """The elements of a JSON file, in order, one in memory at a time.

    A list gives its elements. An object gives its members; a member named in ``into`` that is a
    list or an object gives its own elements in its place, with ``Piece.group`` its name. Anything
    else gives itself.

    Args:
        path: A UTF-8 file, with or without a byte order mark.
        into: Names of top-level members to open.

    Raises:
        FileFormatError: The file is missing, is cut short or no JSON between its elements, has an
            element of more than ``MAX_PIECE_BYTES`` or ``MAX_DEPTH`` levels.
    """
    try:
        with path.open("rb") as file:
            yield from _Reader(file, path.name).pieces(into)
    except OSError as error:
        raise FileFormatError(
            f"{path} can't be read: {error.strerror}.", remedy="Check the path and its rights."
        ) from error


class _Reader:
    """A window of bytes over the file, from the piece being read to the end of the last chunk."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        self._window = bytearray()
        self._start = 0  # offset in the file of the window's first byte
        self._at = 0  # position in the window
        self._match_end = 0
        self._place = "the start"

    def pieces(self, into: Collection[str]) -> Iterator[Piece]:
        self._skip_mark()
        first = self._peek()
        if first not in _STARTS:
            head = bytes(self._window[self._at : self._at + 24])
            raise FileFormatError(
                f"{self._name} is no JSON: it starts with {head!r}.",
                remedy="Export it again as JSON (of Label Studio JSON or JSON_MIN).",
            )
        if first not in _OPENING:
            yield self._piece("", "", 1)
        else:
            yield from self._elements("", into)
        following = self._peek(at_end=True)
        if following == first == ord("{"):
            self._fail("goes on after its end, as in JSON Lines; what is read is one list of tasks")
        if following >= 0:
            self._fail("goes on after its end")

    def _skip_mark(self) -> None:
        self._more()
        head = bytes(self._window[:4])
        if head[:3] == b"\xef\xbb\xbf":
            self._at = 3
        elif head[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in head:
            raise FileFormatError(
                f"{self._name} is not UTF-8 (it starts with {head!r}).",
                remedy="Save it as UTF-8 JSON.",
            )

    def _elements(self, group: str, into: Collection[str]) -> Iterator[Piece]:
        """Elements of the list or object that starts here, which is left behind."""
        is_object = self._take() == ord("{")
        end = ord("}") if is_object else ord("]")
        index = 1
        if self._peek() == end:
            self._take()
            return
        while True:
            key = self._key() if is_object else ""
            inner = is_object and not group and key in into and self._peek() in _OPENING
            if inner:
                yield from self._elements(key, ())
            else:
                yield self._piece(group, key, index)
            index += 1
            following = self._peek()
            if following not in (end, ord(",")):
                self._fail(f"has {chr(following)!r} where ',' or {chr(end)!r} should be")
            self._take()
            if following == end:
                return

    def _key(self) -> str:
        if self._peek() != ord('"'):
            self._fail("has a member without a name in quotes")
        piece = self._piece("", "", 0)
        if self._peek() != ord(":"):
            self._fail("has a member without ':'")
        self._take()
        return str(piece.parse())

    def _piece(self, group: str, key: str, index: int) -> Piece:
        """The value that starts here, as it stands in the file."""
        first = self._peek()
        self._start += self._at
        del self._window[: self._at]
        self._at = 0
        inside = f" of {group!r}" if group else ""
        self._place = f"element {index}{inside}, byte {self._start:,}"
        if first == ord('"'):
            self._at = 1
            self._pass_string()
        elif first in _OPENING:
            self._pass_container()
        else:
            self._search(_SCALAR_END, may_end=True)
        raw = bytes(self._window[: self._at])
        return Piece(group, key, index, self._start, raw, self._name)

    def _pass_container(self) -> None:
        depth = 0
        while True:
            found = self._search(_DEEP)
            token = self._window[found]
            self._at = found + 1
            if token == ord('"'):
                self._pass_string()
            elif token in _OPENING:
                if self._match_end - found > 1:  # a list of numbers, closed
                    self._at = self._match_end
                    if depth == 0:
                        return
                    continue
                depth += 1
                if depth > MAX_DEPTH:
                    self._fail(f"is nested more than {MAX_DEPTH} levels deep")
            else:
                depth -= 1
                if depth == 0:
                    return

    def _pass_string(self) -> None:
        """From behind the opening quote to behind the closing one."""
        while True:
            found = self._search(_STRING)
            if self._window[found] == ord('"'):
                self._at = found + 1
                return
            self._at = found + 2

    def _search(self, pattern: re.Pattern[bytes], *, may_end: bool = False) -> int:
        """Position of the next match in the window; reads on as needed.

        With ``may_end`` the end of the file counts as a match, and ``_at`` moves to it.
        """
        while True:
            match = pattern.search(self._window, self._at)
            if match is not None:
                self._match_end = match.end()
                if may_end:
                    self._at = match.start()
                return match.start()
            # Of an escape only the backslash may be here.
            is_cut = pattern is _STRING and self._window.endswith(b"\\")
            self._at = max(self._at, len(self._window) - int(is_cut))
            if len(self._window) > MAX_PIECE_BYTES:
                self._fail(f"is larger than {MAX_PIECE_BYTES // 1024**2} MB")
            if not self._more():
                if may_end:
                    return self._at
                self._fail("is cut short: the file ends inside it")

    def _peek(self, *, at_end: bool = False) -> int:
        """The next byte that is no white space; -1 at the end of the file if that is allowed."""
        while True:
            while self._at < len(self._window):
                byte = self._window[self._at]
                if byte not in _SPACE:
                    return byte
                self._at += 1
            self._start += self._at
            self._window.clear()
            self._at = 0
            if not self._more():
                if at_end:
                    return -1
                self._fail("is the last thing read: the file is cut short or empty")

    def _take(self) -> int:
        self._at += 1
        return self._window[self._at - 1]

    def _more(self) -> bool:
        chunk = self._file.read(_CHUNK)
        self._window += chunk
        return bool(chunk)

    def _fail(self, what: str) -> NoReturn:
        raise _fault(f"{self._name}: {self._place}", what)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _fault(place: str, what: str) -> FileFormatError:
    return FileFormatError(f"{place} {what}.", remedy="Export the file again, or correct it.")
