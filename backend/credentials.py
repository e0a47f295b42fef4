"""The user name and password Label Studio logs in to the web service with."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from filelock import FileLock

from backend.settings import Settings
from domain.errors import SettingsError

DEFAULT_USER = "nnloop"
# Name of the file in the data folder that keeps a generated password.
PASSWORD_FILE = "basic_auth"  # noqa: S105  # a file name
# Random bytes in a generated password: 192 bits, 32 characters.
_PASSWORD_BYTES = 24
_SAYS_SO = re.compile(r"PASS|SECRET|TOKEN|KEY|CREDENTIAL|AUTH", re.IGNORECASE)


def is_secret(variable: str) -> bool:
    """Whether the value of an environment variable is nobody's business, by its name."""
    return _SAYS_SO.search(variable) is not None


def service_credentials(settings: Settings) -> tuple[str, str]:
    """User and password asked for on every route but /health.

    Without a password in the settings, one is generated once and kept in the data folder, readable
    by its owner only. Every process of the installation gets the same one, whichever came first.

    Raises:
        SettingsError: if the user name holds a colon (Basic auth can't carry it), or the file can
            neither be read nor written.
    """
    user = settings.basic_auth_user or DEFAULT_USER
    if ":" in user:
        raise SettingsError(
            f"BASIC_AUTH_USER must not hold a colon, got {user!r}.",
            remedy="Choose a user name without one.",
        )
    password = settings.basic_auth_pass.get_secret_value()
    return user, password or _kept_password(settings.data_dir / PASSWORD_FILE)


def login_of_project(credentials: tuple[str, str], project_id: int) -> tuple[str, str]:
    """The credentials as a project's backend sends them: its requests then say whose they are.

    Label Studio asks /versions without naming a project; the user ``nnloop+2`` names it.
    """
    user, password = credentials
    return f"{user}+{project_id}", password


def _kept_password(path: Path) -> str:
    try:
        # Most calls find the file; only the first pays for the lock.
        return _read(path) or _generated_password(path)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The password file {path} can't be used ({type(error).__name__}).",
            remedy="Make it readable and its folder writable, or set BASIC_AUTH_PASS.",
        ) from error


def _generated_password(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f"{path.name}.lock")):
        # Another process may have written it while this one waited.
        if known := _read(path):
            return known
        password = secrets.token_urlsafe(_PASSWORD_BYTES)
        draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        draft.unlink(missing_ok=True)
        # Created with its final mode: at no moment can another user open it.
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(password + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    return password


def _read(path: Path) -> str:
    """The password in the file; "" when there is no file, or nothing in it."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
