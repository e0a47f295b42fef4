"""Help of a command that reads or writes several formats."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from typer.core import TyperCommand, TyperOption


class FormatsCommand(TyperCommand):
    """Its help names the formats. They are loaded for it alone, with all they read and write by."""

    registry: str
    """The module whose FORMATS they are."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help."""
        formats = import_module(self.registry).FORMATS
        summaries = [f"{one.name}: {one.summary}." for one in formats.values()]
        self.help = "\n\n".join([self.help or "", "Formats:", *summaries])
        for option in self.params:
            if isinstance(option, TyperOption) and option.name == "format_":
                option.help = f"One of: {', '.join(formats)}."
        super().format_help(ctx, formatter)
