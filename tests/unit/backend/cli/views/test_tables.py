"""Tables: whole figures at any width, one line per row in a pipe, and no markup in cells."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from backend.cli.views.tables import LONGEST_WHOLE, Cell, Table

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Zs", "Zl", "Zp", "Mn")),
    min_size=1,
    max_size=40,
)
FIGURES = st.floats(0, 1).map(lambda x: f"{x:.3f}") | st.integers(0, 10**9).map(str)
PROSE = st.lists(NAMES | FIGURES, max_size=12).map(" ".join)
PARTS = st.lists(st.tuples(NAMES, FIGURES).map(" ".join), max_size=5)


Plain = str | list[str]


def shown(table: Table, width: int = 80, *, is_terminal: bool = True) -> str:
    file = io.StringIO()
    table.print(Console(file=file, width=width, force_terminal=is_terminal, color_system=None))
    return file.getvalue()


def of(*rows: Sequence[Cell], title: str = "") -> Table:
    table = Table([f"Column {k}" for k in range(len(rows[0]))], title=title)
    for row in rows:
        table.add(*row)
    return table


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 9).flatmap(
        lambda n: st.lists(
            st.lists(FIGURES | PROSE | PARTS, min_size=n, max_size=n), min_size=1, max_size=4
        )
    ),
    width=st.integers(20, 200),
)
def test_no_line_is_too_long_and_no_figure_is_broken(rows: list[list[Plain]], width: int) -> None:
    table = of(*((f"row {k}", *row) for k, row in enumerate(rows)))
    text = shown(table, width)
    assert text.encode()  # nothing in it that a terminal can't be sent
    lines = text.splitlines()
    assert max(map(cell_len, lines), default=0) <= width
    letters = Counter("".join("".join(cell) for row in rows for cell in row))
    assert set(letters - Counter(text)) <= {" "}
    said = " ".join(lines).split()
    for cell in (cell for row in rows for cell in row):
        for word in cell.split() if isinstance(cell, str) else " ".join(cell).split():
            if re.fullmatch(r"[\d.]+", word):
                assert word in said or f"{word}," in said
    piped = shown(table, width, is_terminal=False).splitlines()
    assert len(piped) == len(rows) + 2  # heading and rule
    for row, line in zip(rows, piped[2:], strict=True):
        for cell in row:
            text = cell if isinstance(cell, str) else ", ".join(cell)
            assert " ".join(text.split()) in line


def test_parts_stay_together_while_there_is_room_for_them() -> None:
    table = of(("nnloop-v1", ["lumen 0.873", "wall 0.785"], "why " * 40))
    lines = shown(table).splitlines()
    assert any("lumen 0.873" in line for line in lines)
    assert any("wall 0.785" in line for line in lines)
    assert "lumen 0.873, wall 0.785" in shown(table, is_terminal=False)


def test_a_table_of_many_columns_stays_one_as_long_as_words_fit() -> None:
    head = ["strategy", "seeds", "AUBC", "against random", "p (Holm)", "labels to 95%"]
    table = Table([*head, "hours to 95%", "effort saved", "beaten"])
    for name in ("lowest_score_by_class", "random"):
        row = ("4", "0.812", "+0.012", "0.031 better", "not reached", "1.20", "12%", "0.10")
        table.add(name, *row)
    lines = shown(table).splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:4] == ["random", "4", "0.812", "+0.012"] for line in lines)


def test_where_columns_have_no_room_each_row_is_a_list() -> None:
    names = [f"class-{k}-of-many-with-a-long-name" for k in range(9)]
    table = Table(["Case", *names], title="Worst cases")
    table.add("a", *("0.123" for _ in names))
    lines = shown(table).splitlines()
    assert lines[:2] == ["Worst cases", "Case: a"]
    assert "  class-8-of-many-with-a-long-name: 0.123" in lines


def test_a_name_of_any_length_takes_no_figure_its_place() -> None:
    table = of(("n" * 500, "0.123", "12/1000"))
    lines = shown(table).splitlines()
    assert max(map(len, lines)) <= 80
    (row,) = [line for line in lines if "0.123" in line]
    assert "12/1000" in row and row.split()[0].count("n") >= LONGEST_WHOLE
    assert "".join(lines).count("n") == 500 + len(re.findall("Column", "".join(lines)))


@pytest.mark.parametrize("is_terminal", [True, False])
def test_text_is_no_markup_and_moves_no_cursor(*, is_terminal: bool) -> None:
    names = ("[red]x", "a[/]b", "[/wall]", "[link=http://x]y", ":smile:")
    table = of(*((name, "0.5", Text(name)) for name in names), title="[bold]t[/bold]")
    text = shown(table, is_terminal=is_terminal)
    assert "[bold]t[/bold]" in text
    assert all(text.count(name) == 2 for name in names)
    bad = of(("a\x1b[2Jb\rc\nd", "x\x07y"))
    assert not set("\x1b\r\x07") & set(shown(bad, is_terminal=is_terminal))


def test_columns_in_which_nothing_stands_are_left_out_and_none_is_forgotten() -> None:
    text = shown(of(("a", "", "1"), ("b", [], "2")))
    assert "Column 0" in text and "Column 1" not in text
    with pytest.raises(ValueError, match="2 cells for 3 columns"):
        of(("a", "b", "c"), ("a", "b"))


def test_figures_stand_at_the_right_and_words_at_the_left() -> None:
    lines = shown(of(("a", "9"), ("bb", "1,000"), ("c", "-"), ("d", "5 %"))).splitlines()
    assert [line.rstrip()[-1] for line in lines[2:]] == ["9", "0", "-", "%"]
    assert {len(line.rstrip()) for line in lines[2:]} == {len(lines[0].rstrip())}
