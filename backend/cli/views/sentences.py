"""Sentences on the terminal: wrapped between words, with commands and paths left whole."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from backend.cli.shared import console
from domain.text import one_line

# What stands in quotes stays together: names and paths may have spaces in them.
_QUOTED = r"""(?<![\w'"])(?:'[^'\n]*'(?!\w)|"[^"\n]*"(?!\w)|`[^`\n]*`)"""
_WORD = re.compile(rf"(?:{_QUOTED}|\S)+")
_PROGRAM = re.compile(r"\W*nnloop")
# What follows the name of a command and can't be a word of the sentence around it.
_ARGUMENT = re.compile(r"""-{1,2}[a-z]|['"\d]|[A-Z_]+(?:=[A-Z_]*)?\W*$|\S*[=/]|nnloop-|\S+\.\w""")
_LAST = tuple(".,;:)`")

LONGEST_HEADING = 1_000
"""Characters of a name that stands above what is said of it."""

LONGEST_QUOTED = 60
"""Characters of a quoted text that is kept in one line; a longer one is prose, not a name."""


def say(text: str, *, lead: str = "", style: str = "", on: Console = console) -> None:
    """Prints a sentence: in the width of a terminal, and in one line where there is none.

    What is piped is read by programs, which look for lines.

    Args:
        text: The sentence; no markup.
        lead: What goes before it in the first line, with markup: ``[red]Error:[/red]``.
        style: Of the sentence.
        on: Where to.
    """
    first = Text.from_markup(f"{lead} ") if lead else Text()
    width = on.width if on.is_terminal else 0
    shown = Text.assemble(first, (wrapped(text, width, used=first.cell_len), style))
    on.print(shown, soft_wrap=True, highlight=False)


def heading(text: str, *, on: Console = console) -> None:
    """Prints a name with a rule behind it; a long one in as many lines as it needs."""
    width = on.width if on.is_terminal else 0
    lines = wrapped(one_line(text, LONGEST_HEADING), width).split("\n")
    on.print(Text("\n".join(lines), "bold"), end=" ", soft_wrap=True, highlight=False)
    rule = "-" if on.options.ascii_only else "\u2500"
    on.print(Text(rule * max((width or 80) - cell_len(lines[-1]) - 1, 0), "green"), soft_wrap=True)


def wrapped(text: str, width: int, *, used: int = 0) -> str:
    """A text with line breaks, each line at most ``width`` columns wide.

    Commands of nnloop, paths and what stands in quotes are not broken; one that is longer than a
    line has a line of its own.

    Args:
        text: One or more lines.
        width: Columns of a line; 0: as many as there are.
        used: Columns of the first line that are taken already.

    >>> print(wrapped("Label more tasks, then: nnloop train 1 --budget 10m", 34))
    Label more tasks, then:
    nnloop train 1 --budget 10m
    """
    if not width:
        return text
    lines = []
    for line in text.split("\n"):
        words: list[str] = []
        free = width - used
        for part in _parts(line, width):
            needed = cell_len(part) + (1 if words else 0)
            if needed > free and (words or used):
                lines.append(" ".join(words))
                words, free, needed = [], width, cell_len(part)
            words.append(part)
            free, used = free - needed, 0
        lines.append(" ".join(words))
        used = 0
    return "\n".join(lines)


def _parts(line: str, width: int) -> Iterator[str]:
    """Words, and runs of them that stay together where they fit into a line."""
    command: list[str] = []
    for word in _words(line):
        if command and not _goes_on(command, word):
            yield from _whole(command, width)
            command = []
        if command or _PROGRAM.match(word) or word.startswith("--"):
            command.append(word)
        else:
            yield word
    yield from _whole(command, width)


def _words(line: str) -> Iterator[str]:
    for word in _WORD.findall(line):
        if len(word) <= LONGEST_QUOTED:
            yield word
        else:
            yield from word.split()


def _goes_on(command: list[str], word: str) -> bool:
    """Whether a word belongs to a command: its name, its first argument, or looks like one."""
    if command[-1].endswith(_LAST):
        return False
    if command[0].startswith("--"):  # an option that the sentence names, and its value
        return len(command) < 2
    return len(command) < 3 or command[-1].startswith("--") or bool(_ARGUMENT.match(word))


def _whole(command: list[str], width: int) -> list[str]:
    together = " ".join(command)
    return command if cell_len(together) > width else [together] if command else []


def with_reason(preset: str, reason: str) -> str:
    """``pretrained (on a CPU, ...)``; a preset that a person has chosen by itself."""
    return f"{preset} ({reason})" if reason else preset
