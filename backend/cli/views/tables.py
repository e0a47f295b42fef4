"""Tables on the terminal: rich's, with widths that cut no figure, and no cell read as markup.

Cells are texts of people and of other programs as well: class names, file names, annotators. None
of it is markup here, and none of it moves the cursor.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

from rich.box import SIMPLE_HEAD, Box
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.style import Style
from rich.table import Table as RichTable
from rich.text import Text

from backend.cli.shared import console
from domain.text import one_line

Cell = str | Text | Sequence[str]
"""A text, which may be broken between words; a text with a style; or parts, such as a class with
its figure, which stay whole as long as there is room, with commas between."""

SHORT = 12
"""Columns of a text that stays in one line while there is room: ``5 min ago``, ``3 of 40``."""

LONGEST_WHOLE = 28
"""Columns of a part, or of a word, for which a column of the table is made wide enough."""

LONGEST_CELL = 4_000
"""Characters of a cell: prose of any length, but no page of HTML."""

# Stands for a space at which rich shall not break: to it, even U+00A0 is one to break at. No cell
# has it: one_line leaves no surrogates.
_GLUE = "\udc20"
_FIGURE = re.compile(rf"[-+]?[\d.,]+([ {_GLUE}]?%)?|-|")
# Gap between columns, and the length up to which parts stay whole, the best first.
_TRIES = ((2, LONGEST_WHOLE), (2, SHORT), (1, SHORT), (1, 0))
_ASCII_HEAD = Box(str(SIMPLE_HEAD).replace("\u2500", "-"), ascii=True)


class _Cell(NamedTuple):
    """What stands in a cell: parts, with spaces between, and a style."""

    parts: Sequence[str]
    style: Style | str = ""

    @classmethod
    def of(cls, cell: Cell) -> _Cell:
        if not isinstance(cell, str | Text):
            texts = [text for part in cell if (text := one_line(part, LONGEST_CELL))]
            return cls([*(f"{text}," for text in texts[:-1]), *texts[-1:]])
        line = one_line(cell, LONGEST_CELL)
        parts = [line] if line and cell_len(line) <= SHORT else line.split()
        return cls(parts, cell.style if isinstance(cell, Text) else "")

    def text(self, whole: int) -> Text:
        """All of it, with parts of up to ``whole`` columns glued, of several the short ones too."""
        limit = max(whole, SHORT) if len(self.parts) > 1 else whole
        texts = (p.replace(" ", _GLUE) if cell_len(p) <= limit else p for p in self.parts)
        return Text().append(" ".join(texts), self.style or None)


@dataclass
class Table:
    """A table that is being filled.

    Attributes:
        columns: Their headings, each its own.
        title: Stands above it; "" = none.
    """

    columns: Sequence[str]
    title: str = ""
    _rows: list[list[_Cell]] = field(default_factory=list)

    def add(self, *cells: Cell) -> None:
        """Adds a row, a cell for each column."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{len(cells)} cells for {len(self.columns)} columns")
        self._rows.append(list(map(_Cell.of, cells)))

    def print(self, on: Console = console) -> None:
        """Prints it, without the columns in which nothing stands.

        On a terminal within its width: columns are as wide as their figures, names and short words
        need, prose is broken between words. Where even that is too wide, each row becomes lines of
        ``heading: value``. Piped, each row is one line, however long: programs look for lines.
        """
        shown = [
            (one_line(head, LONGEST_CELL), [row[k] for row in self._rows])
            for k, head in enumerate(self.columns)
            if not self._rows or any(row[k].parts for row in self._rows)
        ]
        if self.title and shown:
            on.print(Text(one_line(self.title, LONGEST_CELL), "italic"), soft_wrap=True)
        for line in _lines(shown, on) if shown else ():
            line.plain = line.plain.replace(_GLUE, " ")
            line.rstrip()
            on.print(line, soft_wrap=True)


def _lines(shown: Sequence[tuple[str, Sequence[_Cell]]], on: Console) -> Iterator[Text]:
    for gap, whole in _TRIES:
        columns = [[Text(head, "bold"), *(c.text(whole) for c in cells)] for head, cells in shown]
        room = on.width if on.is_terminal else sys.maxsize
        if widths := _widths(columns, room - gap * (len(columns) - 1)):
            return _drawn(columns, widths, gap, on)
    return _listed(shown, on)


def _widths(columns: Sequence[Sequence[Text]], room: int) -> list[int]:
    """A width for each column, together at most ``room``; [] if words would have to be broken.

    Rich by itself narrows the widest columns, whether or not their figures still fit.
    """
    words = [[max(map(cell_len, t.plain.split()), default=1) for t in texts] for texts in columns]
    least = [max(head, min(max(cells, default=1), LONGEST_WHOLE)) for head, *cells in words]
    most = [max(1, *(cell_len(text.plain) for text in texts)) for texts in columns]
    if sum(least) > room:
        return []
    # In as few lines as can be, and then as many columns as can be in one line.
    splits = ([max(w, -(-m // n)) for w, m in zip(least, most, strict=True)] for n in count(1))
    widths = next(widths for widths in splits if sum(widths) <= room)
    for k in sorted(range(len(most)), key=lambda k: most[k] - widths[k]):
        widths[k] += min(most[k] - widths[k], room - sum(widths))
    return widths


def _drawn(
    columns: Sequence[Sequence[Text]], widths: Sequence[int], gap: int, on: Console
) -> Iterator[Text]:
    box = _ASCII_HEAD if on.options.ascii_only else SIMPLE_HEAD
    # The box draws a column of its own between two.
    table = RichTable(box=box, padding=(0, gap - 1, 0, 0), pad_edge=False, show_edge=False)
    for (head, *cells), width in zip(columns, widths, strict=True):
        is_right = all(_FIGURE.fullmatch(cell.plain) for cell in cells)
        justify: JustifyMethod = "right" if is_right else "left"
        table.add_column(head, width=width, justify=justify, overflow="fold")
    for row in zip(*(cells for _, *cells in columns), strict=True):
        table.add_row(*row)
    options = on.options.update(width=sum(widths) + gap * (len(widths) - 1))
    for line in on.render_lines(table, options, pad=False):
        yield Text.assemble(*((part.text, part.style or "") for part in line))


def _listed(shown: Sequence[tuple[str, Sequence[_Cell]]], on: Console) -> Iterator[Text]:
    """Each row by itself, a line or more for each cell."""
    width = max(on.width - 4, 1)
    for row in zip(*(cells for _, cells in shown), strict=True):
        for k, ((head, _), cell) in enumerate(zip(shown, row, strict=True)):
            text = Text(f"{head}: " if head else "").append(cell.text(min(LONGEST_WHOLE, width)))
            for n, line in enumerate(text.wrap(on, width, overflow="fold") if cell.parts else ()):
                yield Text("  " * (min(k, 1) + min(n, 1))).append(line)
