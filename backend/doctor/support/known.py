"""What of this installation must be nowhere to be seen, by value."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr
from sqlalchemy import select

from backend.credentials import DEFAULT_USER, PASSWORD_FILE, is_secret
from backend.doctor.support.redaction import Redactor
from backend.label_studio import User
from backend.settings import Settings
from backend.stack.runtime import find_running
from backend.store import Store
from backend.store.models import TaskRow
from backend.store.tasks.queues import QueueTabRow

_PLAIN = frozenset(
    {DEFAULT_USER, "root", "true", "false", "none", "null", "/dev/null", "localhost", "127.0.0.1"}
)
"""Values that give nothing away, and would be taken out of every sentence."""

_ROLES = frozenset(
    {
        "admin",
        "administrator",
        "annotator",
        "data",
        "demo",
        "doctor",
        "image",
        "images",
        "info",
        "lab",
    }
    | {"label", "label-studio", "labeler", "labels", "mail", "model", "office", "project"}
    | {"research", "service", "support", "task", "tasks", "test", "tester", "train", "user"}
)
"""Names of accounts that are nobody's."""

MOST_IMAGES = 200_000
"""Tasks whose images are known by name; of more only what looks like an image's name is hidden."""

FEW_PEOPLE = 200

SHORTEST_VALUE = 5
"""Characters of a variable's value from which it may be a secret."""


@dataclass
class Known:
    """Values to take out: ``secrets`` anywhere, ``names`` of people as words, ``images``.

    ``accounts`` are users of this machine, taken out of paths; ``home`` is shown as ``~``.
    """

    secrets: set[str] = field(default_factory=set, repr=False)
    names: set[str] = field(default_factory=set, repr=False)
    images: set[str] = field(default_factory=set, repr=False)
    accounts: set[str] = field(default_factory=set, repr=False)
    home: str = field(default="", repr=False)

    def add_settings(self, settings: Settings) -> None:
        """Keys and passwords of the settings, of a running `nnloop up`, and of the environment."""
        for name in type(settings).model_fields:
            value = getattr(settings, name)
            self._add(value.get_secret_value() if isinstance(value, SecretStr) else "")
            if isinstance(value, str):
                self._add_address(value)
        self._add(settings.basic_auth_user)
        with suppress(OSError, UnicodeDecodeError):
            self._add((settings.data_dir / PASSWORD_FILE).read_text("utf-8"))
        running = find_running(settings.data_dir)
        if running is not None:
            self._add(running.label_studio_api_key)
            self._add_address(running.redis_url)
        for name, value in os.environ.items():
            is_one = len(value) >= SHORTEST_VALUE and not value.isdigit() and "://" not in value
            if is_secret(name) and is_one and not _is_path(value):
                self._add(value)
            self._add_address(value)

    def add_machine(self) -> None:
        """Who runs this."""
        with suppress(OSError, KeyError):
            self.accounts.add(getpass.getuser())
        with suppress(RuntimeError):
            home = Path("~").expanduser()
            self.home = str(home) if len(home.parts) > 1 else ""
            self.accounts.add(home.name)
        self.accounts -= {"", *_PLAIN, *_ROLES}

    def add_people(self, users: Iterable[User]) -> None:
        """Everybody who has an account in Label Studio."""
        everybody = list(users)
        for user in everybody:
            if len(everybody) <= FEW_PEOPLE:  # addresses show by themselves, too
                self.secrets.add(user.email)
            for name in (
                f"{user.first_name} {user.last_name}",
                user.first_name,
                user.last_name,
                user.email.partition("@")[0],
            ):
                self._add_name(name)

    def add_store(self, store: Store, *, with_images: bool) -> None:
        """Names on tabs, and where it is asked for those of images."""
        with store.read() as session:
            for name in session.scalars(select(QueueTabRow.name)):
                self._add_name(name.rstrip("…"))
            if with_images:
                query = select(TaskRow.data).limit(MOST_IMAGES)
                for data in session.scalars(query):
                    self.images.update(_names_in(data))

    def redactor(self, *, hides_images: bool) -> Redactor:
        """What takes all of it out of a text."""
        return Redactor(
            self.secrets,
            self.names,
            self.images,
            self.accounts,
            home=self.home,
            hides_images=hides_images,
        )

    def _add(self, value: str) -> None:
        value = value.strip()
        if value.lower() not in _PLAIN:
            self.secrets.add(value)

    def _add_name(self, name: str) -> None:
        name = name.strip()
        if name.lower() not in _PLAIN | _ROLES and len(name) > 1:
            self.names.add(name)

    def _add_address(self, value: str) -> None:
        """User and password of an address."""
        if "://" not in value or "@" not in value:
            return
        with suppress(ValueError):
            parts = urlsplit(value)
            self._add(parts.password or "")
            self._add(unquote(parts.password or ""))
            self._add_name(unquote(parts.username or ""))
        # A password may have a / or a # in it, where it was not escaped.
        inner = value.partition("://")[2].rpartition("@")[0]
        self._add(inner.partition(":")[2])


def _is_path(value: str) -> bool:
    try:
        return Path(value).exists()
    except (OSError, ValueError):
        return False


def _names_in(data: Any) -> Iterator[str]:
    """The file names in a task's fields, as they stand and decoded."""
    if isinstance(data, dict):
        for value in data.values():
            if isinstance(value, str) and len(value) < 2_000:
                name = value.partition("?")[0].rstrip("/").rpartition("/")[2]
                named = value.rpartition("/")[2] if "?d=" in value else ""
                yield from {one for part in (name, named) if part for one in (part, unquote(part))}
