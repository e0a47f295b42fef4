"""What the commands share: consoles, settings, the context, words for people.

A command imports what it works with when it runs, so that `nnloop --help` waits for none of it.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import SecretStr
from rich.console import Console

from backend import log_lines
from backend.cli.setting_options import setting
from backend.settings import ProjectSettings, Settings
from backend.stack.runtime import find_running

if TYPE_CHECKING:
    from backend.pipeline.basis.context import AppContext

console = Console()
error_console = Console(stderr=True)

DataDir = Annotated[Path | None, setting(Settings, "data_dir")]
Spacing = Annotated[
    str | None, typer.Option(help="Size of a pixel in mm: one number, or vertical,horizontal.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def settings(data_dir: Path | None = None) -> Settings:
    """The settings, completed by those of an `nnloop up` that runs on the same data folder.

    The environment comes first, but the key goes only to the Label Studio it belongs to.
    """
    if data_dir is not None:
        os.environ["NNLOOP_DATA_DIR"] = str(data_dir)
    loaded = Settings.load()
    if "log_level" in loaded.model_fields_set:
        use_log_level(loaded)
    stack = find_running(loaded.data_dir)
    if stack is None:
        return loaded
    update: dict[str, object] = {
        "redis_url": loaded.redis_url or stack.redis_url,
        "public_url": loaded.public_url or stack.service_url,
        "label_studio_url": loaded.label_studio_url or stack.label_studio_url,
    }
    own_key = loaded.label_studio_api_key.get_secret_value()
    if not own_key and update["label_studio_url"] == stack.label_studio_url:
        update["label_studio_api_key"] = SecretStr(stack.label_studio_api_key)
    return loaded.model_copy(update=update)


def settings_of_project(opened: AppContext, project_id: int) -> ProjectSettings:
    """A project's settings; the defaults when it is not connected."""
    from backend.store.models import ProjectRow

    with opened.store.read() as session:
        row = session.get(ProjectRow, project_id)
        return ProjectSettings() if row is None else row.settings


def use_log_level(chosen: Settings) -> None:
    """Lets everything through that the setting ``log_level`` names, as services do."""
    logging.getLogger().setLevel(chosen.log_level)


def log_as_service(chosen: Settings) -> None:
    """Logs as the settings say, and whatever else would be printed."""
    log_lines.serve_lines(chosen.log_level, chosen.log_format)


def keep_private(data_dir: Path | None = None) -> None:
    """What this command writes lies in the data folder, and gets its rights.

    A command that writes into folders of the user's own leaves their umask as it is.
    """
    os.umask(settings(data_dir).umask_bits)


def context(data_dir: Path | None = None) -> AppContext:
    """The process's context."""
    from backend.pipeline.basis.context import AppContext

    return AppContext.open(settings(data_dir))


def connected(project: str, data_dir: Path | None = None) -> tuple[AppContext, int]:
    """The process's context and the id of a connected project, named by its id or title."""
    from backend.pipeline.basis.connected import find_connected

    opened = context(data_dir)
    return opened, find_connected(opened, project)


def figure(value: float | None) -> str:
    """A figure in a table; a dash where nothing is known, as Dice of an absent class."""
    return "-" if value is None else f"{value:.3f}"


def ago(moment: float | None) -> str:
    """How long ago a time was, in words."""
    if moment is None:
        return "never"
    seconds = max(0.0, time.time() - moment)
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"
