"""Tables on the terminal: for every command, so that none cuts a figure or reads text as markup.

Cells are texts of people and of other programs as well: class names, file names, annotators. None
of it is markup here, and none of it moves the cursor.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.style import Style
from rich.text import Text

from backend.cli.shared import console
from domain.text import one_line

Cell = str | Text | Sequence[str]
"""A text, which may be broken between words; a text with a style; or parts, such as a class with
its figure, which stay whole as long as there is room, with commas between."""

SHORT = 12
"""Characters of a text that stays in one line while there is room: ``5 min ago``, ``3 of 40``."""

LONGEST_WHOLE = 28
"""Characters of a part, or of a word, for which a column is made wide enough."""

LONGEST_CELL = 4_000
"""Characters of a cell: prose of any length, but no page of HTML."""

_FIGURE = re.compile(r"[-+]?[\d.,]+( ?%)?|-|")
_INDENT = "  "
_TRIES = ((2, True, True), (2, False, True), (1, False, True), (1, False, False))


@dataclass
class Table:
    """A table that is being filled.

    Attributes:
        columns: Their headings, each its own.
        title: Stands above it; "" = none.
    """

    columns: Sequence[str]
    title: str = ""
    _rows: list[tuple[_Cell, ...]] = field(default_factory=list)

    def add(self, *cells: Cell) -> None:
        """Adds a row, a cell for each column."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        self._rows.append(tuple(map(_Cell.of, cells)))

    def print(self, on: Console = console) -> None:
        """Prints it, without the columns in which nothing stands.

        On a terminal within its width: columns are as wide as their figures, names and short words
        need, prose is broken between words. Where even that is too wide, each row becomes lines of
        ``heading: value``. Piped, each row is one line, however long: programs look for lines.
        """
        shown = [
            k for k in range(len(self.columns)) if not self._rows or any(r[k] for r in self._rows)
        ]
        if not shown:
            return
        heads = [_Cell.of(self.columns[k]) for k in shown]
        rows = [[row[k] for k in shown] for row in self._rows]
        if self.title:
            on.print(Text(one_line(self.title, LONGEST_CELL), "italic"), soft_wrap=True)
        for line in _lines(heads, rows, on):
            on.print(line, soft_wrap=True, highlight=False)


@dataclass(frozen=True, slots=True)
class _Cell:
    """What stands in a cell: parts, each with what follows it, and a style."""

    parts: tuple[str, ...]
    style: Style | str = ""

    @classmethod
    def of(cls, cell: Cell) -> _Cell:
        if isinstance(cell, Text):
            return cls(_words(cell.plain), cell.style)
        if isinstance(cell, str):
            return cls(_words(cell))
        texts = [text for part in cell if (text := one_line(part, LONGEST_CELL))]
        return cls((*(f"{text}," for text in texts[:-1]), *texts[-1:]))

    def __bool__(self) -> bool:
        return bool(self.parts)

    @property
    def text(self) -> str:
        """All of it in one line."""
        return " ".join(self.parts)

    def least(self, *, keeps_parts: bool, keeps_short: bool) -> int:
        """Columns of a terminal that it needs, if no word is broken."""
        text = self.text
        if not text or (keeps_short and cell_len(text) <= SHORT):
            return cell_len(text)
        widths = [
            cell_len(part)
            if keeps_parts and cell_len(part) <= LONGEST_WHOLE
            else max(map(cell_len, part.split()))
            for part in self.parts
        ]
        return min(max(widths), LONGEST_WHOLE)

    def lines(self, width: int) -> list[str]:
        """It in lines of at most ``width`` columns of a terminal."""
        lines: list[str] = []
        for part in self.parts:
            whole = [part] if cell_len(part) <= width else part.split()
            for word in whole:
                if lines and cell_len(lines[-1]) + 1 + cell_len(word) <= width:
                    lines[-1] += f" {word}"
                else:
                    lines += chop_cells(word, width)
        return lines


def _words(text: str) -> tuple[str, ...]:
    """Its words; a short text is one."""
    line = one_line(text, LONGEST_CELL)
    return (line,) if line and cell_len(line) <= SHORT else tuple(line.split())


def _lines(heads: Sequence[_Cell], rows: Sequence[Sequence[_Cell]], on: Console) -> Iterator[Text]:
    gap, widths = 2, [max(cell_len(c.text) for c in column) for column in _columns(heads, rows)]
    if on.is_terminal:
        fitted = _fitted(heads, rows, on.width)
        if fitted is None:
            yield from _listed(heads, rows, on.width)
            return
        gap, widths = fitted
    is_right = [all(_FIGURE.fullmatch(row[k].text) for row in rows) for k in range(len(heads))]
    yield from _row(heads, widths, gap, is_right, "bold")
    rule = "-" if on.options.ascii_only else "\u2500"
    yield Text(rule * (sum(widths) + gap * (len(widths) - 1)))
    for row in rows:
        yield from _row(row, widths, gap, is_right)


def _columns(
    heads: Sequence[_Cell], rows: Sequence[Sequence[_Cell]]
) -> Iterator[tuple[_Cell, ...]]:
    return zip(heads, *rows, strict=True)


def _fitted(
    heads: Sequence[_Cell], rows: Sequence[Sequence[_Cell]], width: int
) -> tuple[int, list[int]] | None:
    """The gap between columns, and the width of each, together at most ``width``; None: can't be.

    Tried in turn: with parts whole, with parts in words, with a narrower gap, and then with short
    texts in words too.
    """
    most = [max(cell_len(c.text) for c in column) for column in _columns(heads, rows)]
    for gap, keeps_parts, keeps_short in _TRIES:
        room = width - gap * (len(most) - 1)
        least = [
            max(
                max(cell_len(word) for word in column[0].text.split()) if column[0] else 0,
                *(
                    cell.least(keeps_parts=keeps_parts, keeps_short=keeps_short)
                    for cell in column[1:]
                ),
                1,
            )
            for column in _columns(heads, rows)
        ]
        if sum(least) <= room:
            return gap, _shared_out(least, most, room)
    return None


def _shared_out(least: Sequence[int], most: Sequence[int], room: int) -> list[int]:
    """Widths from ``least`` to ``most``: what is left goes where text would have to be broken."""
    wanted = [max(high - low, 0) for low, high in zip(least, most, strict=True)]
    left = min(room - sum(least), sum(wanted))
    widths, rest, of = list(least), left, sum(wanted)
    # The narrow ones first: what rounding takes from them is what they feel.
    for k in sorted(range(len(least)), key=lambda k: wanted[k]):
        more = min(wanted[k], -(-rest * wanted[k] // of)) if of else 0
        widths[k] += more
        rest, of = rest - more, of - wanted[k]
    return widths


def _row(
    cells: Sequence[_Cell],
    widths: Sequence[int],
    gap: int,
    is_right: Sequence[bool],
    style: str = "",
) -> Iterator[Text]:
    columns = [cell.lines(width) for cell, width in zip(cells, widths, strict=True)]
    for i in range(max(map(len, columns), default=0)):
        line = Text(style=style)
        for k, (cell, texts) in enumerate(zip(cells, columns, strict=True)):
            text = texts[i] if i < len(texts) else ""
            space = " " * (widths[k] - cell_len(text))
            line.append(" " * gap if k else "")
            line.append(space if is_right[k] else "")
            line.append(text, cell.style or None)
            line.append("" if is_right[k] else space)
        line.rstrip()
        yield line


def _listed(heads: Sequence[_Cell], rows: Sequence[Sequence[_Cell]], width: int) -> Iterator[Text]:
    """Each row by itself, a line or more for each cell."""
    for row in rows:
        for k, (head, cell) in enumerate(zip(heads, row, strict=True)):
            if not cell:
                continue
            indent = _INDENT if k else ""
            lead = f"{indent}{head.text}: " if head else indent
            name = _Cell((lead.strip(), *cell.parts)) if lead.strip() else cell
            for i, text in enumerate(name.lines(max(width - 2 * len(_INDENT), 1))):
                line = Text(indent if i == 0 else indent + _INDENT)
                line.append(text, cell.style or None)
                yield line
