"""What a prediction of files tells of them line by line, and what is left to say at its end."""

from __future__ import annotations

from dataclasses import dataclass, field

from backend.from_files.start import NOTE

LEFT_OUT = "Left out: "
"""Begins the line of an image that is not predicted; others begin with the image's name."""


@dataclass(slots=True)
class Told:
    """What was said of the images: how many were predicted, which were left out, and notes."""

    n_predicted: int = 0
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, line: str) -> bool:
        """Takes a line; whether it is about an image."""
        if line.startswith(NOTE):
            self.notes.append(line.removeprefix(NOTE))
            return False
        if line.startswith(LEFT_OUT):
            self.left_out.append(line)
            return True
        self.n_predicted += 1
        # In a watched folder a file may be whole at last.
        before = f"{LEFT_OUT}{line.rpartition(': ')[0]}: "
        self.left_out = [one for one in self.left_out if not one.startswith(before)]
        return True
