"""Credentials of the Label Studio that nnloop starts itself: made once, kept with its data."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from domain.errors import StackError

EMAIL = "admin@example.com"
_FILE = "login.json"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A login and a legacy token (40 hex digits) of one Label Studio."""

    email: str
    password: str = field(repr=False)
    token: str = field(repr=False)


def ensure_credentials(folder: Path) -> Credentials:
    """Reads the credentials of a data folder, or makes new ones readable by the owner only.

    They are kept because Label Studio takes them at its first start only.

    Raises:
        StackError: The folder can't be written or the file is damaged.
    """
    path = folder / _FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if path.exists():
            return Credentials(**json.loads(path.read_text()))
        made = Credentials(EMAIL, secrets.token_urlsafe(12), secrets.token_hex(20))
        content = {"email": made.email, "password": made.password, "token": made.token}
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(content, file)
        return made
    except OSError as error:
        raise StackError(
            f"The login of Label Studio can't be kept in {folder}: {error.strerror}.",
            remedy="Check the folder's rights and the free space.",
        ) from error
    except (ValueError, TypeError) as error:
        raise StackError(
            f"The login file {path} is damaged.",
            remedy="Restore it, or delete the folder to start with an empty Label Studio.",
        ) from error
