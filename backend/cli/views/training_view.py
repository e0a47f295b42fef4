"""What a person is told of a training from files: what was read, what came of it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from backend.cli.shared import console, error_console
from backend.cli.views.sentences import say
from backend.cli.views.tables import Table
from domain.text import counted

if TYPE_CHECKING:
    from backend.from_files.labels.reading import Reading
    from backend.from_files.outcome import Outcome
    from converters.classes.dataset_unions import SaidUnions
    from domain.annotation import LeftOut

MOST_LEFT_OUT = 10
"""Sentences about what was left out that are printed; the file has all of them."""

WEAK_DICE = 0.5
"""Held-out Dice below which a class is said to be found badly: more of it is wrong than right."""


def say_reading(reading: Reading, out: Path) -> None:
    """What the source holds, and which class is which integer."""
    empty = f", {reading.empty} of them with nothing to see" if reading.empty else ""
    others = f"; {reading.unlabelled} without a label" if reading.unlabelled else ""
    say(f"{counted(reading.labelled, 'labelled image')}{empty}{others}.")
    say_classes(reading.classes)
    say_left_out(reading.left_out, out)


def say_classes(classes: Sequence[str]) -> None:
    """Which class is which integer in masks."""
    if classes:
        each = ", ".join(f"{number} = {name}" for number, name in enumerate(classes, start=1))
        say(f"Classes: {each}.")


def say_unnamed(classes: Sequence[str], unnamed: str, source: Path) -> None:
    """That nothing names the classes of masks.

    Args:
        classes: Names of the integers 1, 2, ...
        unnamed: What a class without a name begins with.
        source: The masks.
    """
    if any(name.removeprefix(unnamed).isdecimal() for name in classes if name.startswith(unnamed)):
        say(
            f"Nothing names the integers of the masks in {source}. Give their names in order of "
            "the integers before you go on with the model: --classes lumen,wall."
        )


def say_unions(said: SaidUnions, learned: Sequence[str]) -> None:
    """Which unions of classes are learned, of those that nnU-Net's data set has."""
    unions = ", ".join(said.unions)
    if learned != said.unions:
        instead = f"{', '.join(learned)} is" if learned else "each class by itself is"
        say(f"dataset.json has the unions {unions}; as you have said, {instead} learned.")
        return
    rests = [text.rpartition("+")[2] for text in said.unions]
    unnamed = next((name for name in rests if name.startswith("rest of ")), "")
    say(
        f"Unions of classes are learned, as dataset.json says: {unions}."
        + (f" --map '{unnamed}=NAME' gives that class a name of its own." if unnamed else "")
    )


def say_left_out(notes: Sequence[LeftOut], out: Path) -> None:
    """The first few; all of them stand in a file."""
    from backend.from_files.labels.left_out import LEFT_OUT

    for note in notes[:MOST_LEFT_OUT]:
        say(f"Left out: {note.in_full}")
    if notes:
        n_more = len(notes) - MOST_LEFT_OUT
        more = f"... and {n_more} more. " if n_more > 0 else ""
        say(f"{more}What was left out and why: {out / LEFT_OUT}")


def say_outcome(outcome: Outcome, out: Path, pages: Sequence[Path]) -> None:
    """What came of the training, and what to do with it."""
    say_left_out(outcome.left_out, out)
    if outcome.dice:
        table = Table(("Class", "Held-out Dice", "Images that show it"))
        for name, dice in outcome.dice.items():
            shown = outcome.images_of_class.get(name)
            table.add(
                name, "-" if dice is None else f"{dice:.3f}", "-" if shown is None else str(shown)
            )
        table.print()
    for sentence in (*outcome.said, *_about_weak(outcome.dice)):
        say(sentence)
    for page in pages:
        console.print(f"Written: {page}", highlight=False, markup=False, soft_wrap=True)
    if outcome.version:
        say_classes(outcome.classes)
    say_use(outcome, out)


def say_use(outcome: Outcome, out: Path) -> None:
    """How to predict with the version, where there is one."""
    if outcome.version:
        say(f"Predict with it: nnloop predict IMAGES --model {shlex.quote(str(out))} --out masks")


def _about_weak(dice: Mapping[str, float | None]) -> Iterator[str]:
    weak = [
        f"{name} ({one:.2f})" for name, one in dice.items() if one is not None and one < WEAK_DICE
    ]
    if weak:
        yield (
            f"Found badly: {', '.join(weak)}. Its labels may be too few, or doubtful: report.html "
            "shows the worst images, and the labels to check."
        )


def say_interrupted(out: Path, *, has_run: bool) -> None:
    """That the training was interrupted, and how it goes on.

    Args:
        out: Folder of the model.
        has_run: Whether a run has begun.
    """
    text = "Interrupted. The same command goes on"
    text += (
        f"; to begin anew: {cancel_command(out)}"
        if has_run
        else " or begins anew: no run has begun."
    )
    say(text, on=error_console)


def cancel_command(out: Path) -> str:
    """The command that ends a folder's active run."""
    from backend.from_files.context import DATA, PROJECT

    return f"nnloop cancel {PROJECT} --data-dir {shlex.quote(str(out / DATA))}"
