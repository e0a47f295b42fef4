from __future__ import annotations

import pytest

from domain.text import LONGEST, counted, one_line, signed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("  a\r\n\tb\x00c ", "a b c"),
        ("\x1b[1;31mred\x1b[0m", "red"),  # colours
        ("\x1b]0;title\x07text", "text"),  # a terminal's title
        ("a\u2028b\u200bc\ufeff", "a b c"),  # separators that some editors show as new lines
        ("\udcff", ""),  # half a character, which no database takes
        ("Käse 猫", "Käse 猫"),
        (ValueError("two\nlines"), "two lines"),
        ("", ""),
    ],
)
def test_any_text_becomes_one_line(text: object, expected: str) -> None:
    assert one_line(text) == expected


def test_what_is_too_long_is_cut() -> None:
    cut = one_line("word " * 10_000_000)
    assert len(cut) <= LONGEST and cut.endswith("wo...")
    assert one_line("x" * LONGEST) == "x" * LONGEST
    assert one_line("abcdefgh", 6) == "abc..."


def test_a_page_of_html_behind_much_white_space_is_read_to_its_text() -> None:
    assert one_line("\n" * 3_000 + "<h1>Gone</h1>") == "<h1>Gone</h1>"


@pytest.mark.parametrize(
    ("n", "words"), [(0, "0 classes"), (1, "1 class"), (2, "2 classes"), (1200, "1200 classes")]
)
def test_a_count_and_its_noun(n: int, words: str) -> None:
    assert counted(n, "class", "classes") == words
    assert counted(n, "task") == f"{n} task{'' if n == 1 else 's'}"


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0124, 3, "+0.012"),
        (-0.0126, 3, "-0.013"),
        (0.0004, 3, "0.000"),  # rounded to nothing it is neither more nor less
        (-0.0004, 3, "0.000"),
        (-0.0, 2, "0.00"),
        (-0.006, 2, "-0.01"),
    ],
)
def test_a_difference_has_a_sign_unless_it_is_none(value: float, digits: int, text: str) -> None:
    assert signed(value, digits) == text
