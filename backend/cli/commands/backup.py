"""backup and restore: what can't be made again, in one file."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.shared import DataDir, console, context, keep_private, settings
from backend.cli.views.sentences import say
from domain.errors import StackError
from domain.text import counted

if TYPE_CHECKING:
    from backend.backup.contents import Contents


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("backup")(backup)
    app.command("restore")(restore)


def backup(
    file: Annotated[Path, typer.Argument(help="The backup, a zip; a new file.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Only check a backup that is there: all of it is read.")
    ] = False,
    with_secrets: Annotated[
        bool,
        typer.Option(
            "--with-secrets", help="Also passwords and keys, unencrypted: keep the file safe."
        ),
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Save projects, versions and settings to one file, also while everything runs.

    Images and cases are not in it: Label Studio has the images. Back up Label Studio by its own
    means, too: it holds the annotations.

    Example: nnloop backup /backups/nnloop-2026-11-28.zip
    """
    from backend.backup.read import verify_backup
    from backend.backup.write import write_backup
    from backend.cli.views.progress import steps

    if verify:
        with steps() as tell:
            found = verify_backup(file, _in_mb(tell, "Reading"))
        say(f"{file} is whole: {_what(found)}.")
        return
    chosen = settings(data_dir)
    if not chosen.database_url and not _may_hold_a_store(chosen.data_dir):
        raise StackError(
            f"{chosen.data_dir} holds no store: there is nothing to back up.",
            remedy="Name the data folder (--data-dir, NNLOOP_DATA_DIR).",
        )
    with steps() as tell:
        opened = context(data_dir)
        made = write_backup(
            opened, file, with_secrets=with_secrets, on_bytes=_in_mb(tell, "Writing versions")
        )
    say(f"Saved {_what(made)} to {file}.")
    left_out = "images and cases" if with_secrets else "images, cases, passwords and keys"
    say(f"Not in it: {left_out}. Check it: nnloop backup {file} --verify")


def restore(
    file: Annotated[Path, typer.Argument(help="A backup.")],
    data_dir: DataDir = None,
) -> None:
    """Make a new data folder of a backup. Nothing that is there is ever replaced.

    Example: nnloop restore /backups/nnloop-2026-11-28.zip --data-dir /data/nnloop
    """
    from backend.backup.restore import restore_backup
    from backend.cli.views.progress import steps

    keep_private(data_dir)
    chosen = settings(data_dir)
    with steps() as tell:
        restored = restore_backup(chosen, file, _in_mb(tell, "Restoring"))
    say(f"Restored {_what(restored.contents)} into {chosen.data_dir}.")
    for project_id, number in restored.interrupted:
        say(f"Run {number} of project {project_id} was under way: another one starts in its place.")
    if restored.contents.has_secrets:
        say(
            f"Its passwords and keys are in {chosen.data_dir / 'restored-secrets.json'}: put them "
            "into your settings, and delete the file."
        )
    say("Start nnloop with your settings (nnloop up). Then, for each project:")
    for project_id in restored.projects:
        console.print(f"  nnloop connect {project_id} && nnloop publish {project_id}")
    say(
        "That gives Label Studio the new password of the web service, and the predictions of the "
        "version that serves now."
    )


def _in_mb(tell: Callable[..., None], what: str) -> Callable[[int, int], None]:
    return lambda done, total: tell(f"{what} (MB)", done // 1_000_000, total // 1_000_000)


def _what(contents: Contents) -> str:
    counts = contents.counts
    parts = [
        counted(counts.get(f"{noun}s", 0), noun)
        for noun in ("project", "task", "annotation", "version")
    ]
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(contents.made_at))
    return f"{', '.join(parts)} ({contents.n_bytes / 1e6:,.0f} MB, as of {when})"


def _may_hold_a_store(data_dir: Path) -> bool:
    try:
        return (data_dir / "nnloop.db").is_file()
    except PermissionError:
        return True  # whose folder it is says who opens the store
