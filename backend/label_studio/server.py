"""Server: is Label Studio there, which version, who are we, and who else is there."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from backend.label_studio.calls import Calls


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with an account; names may be empty, and no two people share an address."""

    id: int
    email: str
    first_name: str = ""
    last_name: str = ""


class Server(Calls):
    """Calls about the server itself."""

    def health(self) -> bool:
        """Whether Label Studio says it is up (``GET /health/``)."""
        answer = self._connection.json("GET", "/health/")
        return isinstance(answer, dict) and answer.get("status") == "UP"

    def version(self) -> str:
        """Label Studio's version, for example ``1.23.2``."""
        return str(self._connection.json("GET", "/api/version/")["release"])

    def home(self) -> str:
        """The address that Label Studio's front page leads to: its login page, as a rule.

        Of a Label Studio behind a path it tells the path.
        """
        return str(self._connection.send("GET", "/").url)

    def clock(self) -> float | None:
        """Label Studio's time, in whole seconds since the epoch; None where it tells none."""
        return answered_at(self._connection.send("GET", "/api/version/"))

    def whoami(self) -> User:
        """The user the key belongs to; the cheapest proof that the key works."""
        row = self._connection.json("GET", "/api/current-user/whoami")
        return User(id=int(row["id"]), email=str(row["email"]))

    def list_users(self) -> list[User]:
        """Everybody in the organisation of the key's user, by rising id.

        Who was taken out of it is not there.
        """
        rows: list[dict[str, Any]] = self._connection.json("GET", "/api/users/")
        users = [
            User(
                id=int(row["id"]),
                email=str(row["email"]),
                first_name=str(row.get("first_name") or "").strip(),
                last_name=str(row.get("last_name") or "").strip(),
            )
            for row in rows
            # Of who was taken out Label Studio shows the word Deleted instead.
            if "@" in str(row.get("email"))
        ]
        return sorted(users, key=lambda user: user.id)


def answered_at(answer: httpx.Response) -> float | None:
    """When an answer was made by its server's clock, in seconds; None where it does not say."""
    try:
        return parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except ValueError:
        return None
