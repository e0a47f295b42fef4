"""What a backup holds, and its table of contents.

::

    nnloop.db                       the store, as SQLite, whatever database it came from
    settings.json                   the installation's settings, without secrets
    secrets.json                    passwords, keys and addresses that hold them; only if asked for
    projects/<id>/models/...        versions that still have their weights
    projects/<id>/runs/...          curves and films of trainings, no checkpoints
    projects/<id>/plans/...         plans that a setting may name
    projects/<id>/nnUNet_preprocessed/<data set>/*.json    plans in use
    backup.json                     this table; written last, so that a file cut off has none

Images, cases and arrays are not in it: Label Studio has the images, and the next training makes the
rest again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from domain.errors import FileFormatError
from training.workspace import Workspace

CONTENTS = "backup.json"
STORE = "nnloop.db"
SETTINGS = "settings.json"
SECRETS = "secrets.json"

FORM = 1
"""Raised when an older nnloop could not restore what is written now."""

_INSIDE = re.compile(r"projects/\d{1,18}/(models|runs|plans|nnUNet_preprocessed)/.+")
_TOO_MUCH = (OverflowError, RecursionError)
_WEIGHTS = ".pth"


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a backup: its size in bytes and the SHA-256 of its bytes, in hex."""

    n_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Contents:
    """backup.json.

    Attributes:
        nnloop: The release that wrote it.
        made_at: Seconds since the epoch.
        revision: Of the store's tables.
        counts: Rows by table: projects, tasks, annotations, runs, versions, predictions.
        has_secrets: Whether passwords and keys are in it.
        members: By name, all files but this table.
        form: See ``FORM``.
    """

    nnloop: str
    made_at: float
    revision: str
    counts: Mapping[str, int]
    has_secrets: bool
    members: Mapping[str, Member]
    form: int = FORM

    @property
    def n_bytes(self) -> int:
        """Of all files."""
        return sum(member.n_bytes for member in self.members.values())

    def to_json(self) -> bytes:
        """As it stands in the file."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Contents:
        """Reads what ``to_json`` wrote; raises FileFormatError, also for a member's bad name."""
        try:
            raw: dict[str, Any] = json.loads(data)
            form = int(raw["form"])
            if form > FORM:
                raise FileFormatError(
                    f"The backup was written by a newer nnloop ({raw.get('nnloop')}).",
                    remedy="Restore it with that release or a newer one.",
                )
            members = {
                str(name): Member(int(one["n_bytes"]), str(one["sha256"]))
                for name, one in raw["members"].items()
            }
            contents = cls(
                str(raw["nnloop"]),
                float(raw["made_at"]),
                str(raw["revision"]),
                {str(name): int(n) for name, n in raw["counts"].items()},
                bool(raw["has_secrets"]),
                members,
                form,
            )
        except (ValueError, TypeError, LookupError, AttributeError, *_TOO_MUCH) as error:
            raise FileFormatError(
                f"The backup's {CONTENTS} can't be read: {type(error).__name__}.",
                remedy="Use another backup.",
            ) from None
        if STORE not in members or not all(is_member(name) for name in members):
            odd = next((name for name in members if not is_member(name)), STORE)
            raise FileFormatError(
                f"The backup's {CONTENTS} names {odd[:100]!r} wrongly.",
                remedy="Use another backup.",
            )
        return contents


def is_member(name: str) -> bool:
    """Whether a file of this name may be in a backup: none that would lie out of its place."""
    if name in (STORE, SETTINGS, SECRETS):
        return True
    parts = name.split("/")
    is_plain = not any(
        part in ("", ".", "..") or "\\" in part or ":" in part or "\0" in part for part in parts
    )
    return is_plain and _INSIDE.fullmatch(name) is not None


def files_beside_versions(workspace: Workspace) -> Iterator[Path]:
    """Files of a project that are kept besides its versions. Some may go while they are listed."""
    for path in _files_in(workspace.folder / "runs"):
        if path.suffix != _WEIGHTS:
            yield path
    yield from _files_in(workspace.named_plans)
    # Not below: arrays of tens of thousands of cases lie there.
    yield from sorted(workspace.preprocessed_dataset.glob("*.json"))


def files_of_version(folder: Path) -> list[Path]:
    """Files of a version, in order."""
    return list(_files_in(folder))


def _files_in(folder: Path) -> Iterator[Path]:
    # Links are nnloop's own nowhere here: what they lead to is not.
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and not path.name.endswith(".tmp"):
            yield path
