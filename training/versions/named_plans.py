"""Plans that a user names: a file, or a name that is looked up in the project's folders."""

from __future__ import annotations

import hashlib
from pathlib import Path

from domain.errors import SettingsError
from training.versions.version_folder import MEMBERS, PLANS
from training.workspace import Workspace


def find_plans(workspace: Workspace, name: str) -> Path:
    """The file of plans that were named.

    Args:
        workspace: The project.
        name: A path to a plans.json, absolute or from the home folder (``~``); or a word: a file
            NAME.json in ``Workspace.named_plans``, or a version of the project, whose plans are
            meant.

    Raises:
        SettingsError: There is no such file, or an ensemble is named, which has several; the
            remedy names those there are.
    """
    path = Path(name).expanduser()
    if path.is_absolute():
        found = [path]
    elif path.name == name and not name.startswith("."):
        word = name.removesuffix(".json")
        found = [workspace.named_plans / f"{word}.json", workspace.models / name / PLANS]
    else:
        raise SettingsError(
            f"The plans {name!r} are a relative path, which means another file for every process.",
            remedy="Give the whole path, or a name.",
        )
    for candidate in found:
        if candidate.is_file():
            return candidate
    if path.name == name and (workspace.models / name / MEMBERS).is_dir():
        members = sorted(folder.name for folder in (workspace.models / name / MEMBERS).iterdir())
        raise SettingsError(
            f"{name} is an ensemble, whose members have plans of their own.",
            remedy=f"Name the plans of one: {', '.join(members)}.",
        )
    known = _known(workspace)
    raise SettingsError(
        f"There are no plans {name!r}.",
        remedy=f"Give the path of a plans.json, or put it into {workspace.named_plans}"
        + (f"; there are the names {', '.join(known)}." if known else "."),
    )


def plans_hash(workspace: Workspace, name: str | None) -> str:
    """SHA-256 (hex) of the named file, so that a changed file is noticed; "" without a name.

    Raises:
        SettingsError: As for ``find_plans``.
    """
    return hashlib.sha256(find_plans(workspace, name).read_bytes()).hexdigest() if name else ""


def _known(workspace: Workspace) -> list[str]:
    names = {path.stem for path in workspace.named_plans.glob("*.json")}
    names |= {path.parent.name for path in workspace.models.glob(f"*/{PLANS}")}
    return sorted(name for name in names if not name.startswith("."))
