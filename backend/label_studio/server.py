"""Server: is Label Studio there, which version, and who are we."""

from __future__ import annotations

from dataclasses import dataclass

from backend.label_studio.calls import Calls


@dataclass(frozen=True, slots=True)
class User:
    """The person a key belongs to."""

    id: int
    email: str


class Server(Calls):
    """Calls about the server itself."""

    def health(self) -> bool:
        """Whether Label Studio says it is up (``GET /health/``)."""
        answer = self._connection.json("GET", "/health/")
        return isinstance(answer, dict) and answer.get("status") == "UP"

    def version(self) -> str:
        """Label Studio's version, for example ``1.23.2``."""
        return str(self._connection.json("GET", "/api/version/")["release"])

    def whoami(self) -> User:
        """The user the key belongs to; the cheapest proof that the key works."""
        row = self._connection.json("GET", "/api/current-user/whoami")
        return User(id=int(row["id"]), email=str(row["email"]))
