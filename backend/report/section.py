"""What a section of the report is made of. All texts are plain: the page escapes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that stands in the page itself.

    Attributes:
        source: A ``data:`` URI.
        alt: What it shows, for who does not see it.
        caption: Stands below it; "" = none.
    """

    kind: ClassVar = "picture"

    source: str
    alt: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        caption: What it shows, and of what.
        columns: Their names; the first one names the rows.
        rows: As many cells each as there are columns.
        words: Columns of words, from 1 on; the others are figures.
    """

    kind: ClassVar = "table"

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """A case with its pictures.

    Attributes:
        title: Which.
        facts: Sentences about it.
        pictures: Side by side where there is room; () where they could not be made.
        link: Where it can be opened; "" = nowhere.
    """

    kind: ClassVar = "card"

    title: str
    facts: Sequence[str]
    pictures: Sequence[Picture] = ()
    link: str = ""


@dataclass(frozen=True, slots=True)
class Legend:
    """Which class has which colour in the pictures below.

    Attributes:
        colors: (class, ``#rrggbb``).
    """

    kind: ClassVar = "legend"

    colors: Sequence[tuple[str, str]]


Block = Picture | Table | Card | Legend


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure that is seen first, and what it is of."""

    figure: str
    of: str


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the report.

    Attributes:
        key: Its anchor: letters and dashes.
        title: Its heading.
        sentences: What it says, a paragraph each.
        blocks: Tables, pictures and cases below that.
        missing: What is missing here, and what will fill it; "" when nothing is.
        tiles: The figures that are seen first.
        points: Sentences of a list below the paragraphs.
    """

    key: str
    title: str
    sentences: Sequence[str] = ()
    blocks: Sequence[Block] = ()
    missing: str = ""
    tiles: Sequence[Tile] = ()
    points: Sequence[str] = ()
