"""The tables of docs/settings.md as backend/settings/ has them.

``python -m tests.unit.packaging.settings_doc`` writes them into the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from backend.settings import ProjectSettings, Settings
from backend.settings.option import environment_of, flags_of, limits_of, option_of
from tests.unit.packaging.paths import ROOT

PAGE = ROOT / "docs" / "settings.md"


def installation_table() -> list[str]:
    rows = ["| Environment | In `nnloop.toml` | Default | Meaning |", "|---|---|---|---|"]
    for key, field in Settings.model_fields.items():
        first, *others = environment_of(field)
        also = f" (also {', '.join(f'`{name}`' for name in others)})" if others else ""
        rows.append(f"| `{first}`{also} | `{key}` | {_default(field)} | {_meaning(field)} |")
    return rows


def project_table() -> list[str]:
    rows = ["| Setting | Option | Default | Meaning |", "|---|---|---|---|"]
    for key, field in ProjectSettings.model_fields.items():
        flags = ", ".join(f"`{flag}`" for flag in flags_of(key, field).split("/"))
        rows.append(f"| `{key}` | {flags} | {_default(field)} | {_meaning(field)} |")
    return rows


def tables_in(page: Path = PAGE) -> list[list[str]]:
    """Every table of the page: its lines."""
    tables: list[list[str]] = [[]]
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            tables[-1].append(line)
        elif tables[-1]:
            tables.append([])
    return [table for table in tables if table]


def write(page: Path = PAGE) -> None:
    """Replaces the page's first two tables."""
    text = page.read_text(encoding="utf-8")
    for old, new in zip(tables_in(page), (installation_table(), project_table()), strict=False):
        text = text.replace("\n".join(old), "\n".join(new))
    page.write_text(text, encoding="utf-8")


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "the user's data folder"
    value: Any = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value not in ("", None, ()):
        return f"`{value}`"
    empty = option_of(field).empty
    return f"empty: {empty}" if empty else "empty"


def _meaning(field: FieldInfo) -> str:
    meaning, limits = field.description or "", limits_of(field)
    return f"{meaning} {limits[0].upper()}{limits[1:]}." if limits else meaning


if __name__ == "__main__":
    write()
