"""Delivers a notice: to a command that a person wrote, or to an address.

Nothing here says the address, nor the command's words: both may hold a password.
"""

from __future__ import annotations

import json
import os
import shlex
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from backend.deadline import OutOfTimeError, limit_request, within
from backend.settings import Settings
from backend.store.training.notices import Channel
from domain.errors import NnloopError
from domain.text import one_line
from training.processes.guarded import Guarded, ending_signal

TIMEOUT_S = 20.0
"""Longest time of a delivery: a command that takes longer is ended."""

GRACE_S = 2.0

_SAID = 200
"""Characters of what a command said that are repeated."""

_KEPT = 2_000
"""Bytes of what it said last that are looked at."""

_SHORTEST_SECRET = 6

# The shell is there to give the command its standard input: a guarded process has none.
_WITH_INPUT = ("/bin/sh", "-c", 'exec "$@" <"$0"')


class DeliveryError(NnloopError):
    """A notice was not delivered; the message says why, without address and command."""


def deliver(settings: Settings, channel: Channel, body: Mapping[str, Any]) -> None:
    """Delivers a notice.

    Args:
        settings: With the command or the address.
        channel: Which of them.
        body: What is sent as JSON; the command also gets its texts as variables (docs/notices.md).

    Raises:
        DeliveryError: It could not be delivered.
    """
    if channel == Channel.COMMAND:
        _run(settings, body)
    else:
        _post(settings.notify_url.get_secret_value(), body)


def _run(settings: Settings, body: Mapping[str, Any]) -> None:
    argv = shlex.split(settings.notify_command.get_secret_value())
    secret = settings.to_environment()  # what nnloop was told is not the command's
    environment = {name: value for name, value in os.environ.items() if name not in secret}
    environment |= {
        f"NNLOOP_{name.upper()}": one_line(value, 2_000)
        for name, value in body.items()
        if isinstance(value, str | int)
    }
    secrets = list(argv)
    longest = max(len(word.encode(errors="replace")) for word in [*argv, ""])
    with tempfile.TemporaryDirectory(prefix="nnloop-notice-") as folder:
        given = Path(folder) / "body.json"
        given.write_text(json.dumps(body) + "\n", encoding="utf-8")
        secrets.append(str(given))
        said = _Tail(_KEPT + longest)
        try:
            try:
                guarded = Guarded(
                    [*_WITH_INPUT, str(given), *argv],
                    grace_s=GRACE_S,
                    stdout=said.number,
                    env=environment,
                )
            finally:
                said.nobody_else()
            code = guarded.wait(TIMEOUT_S)
            guarded.stop()
        except OSError as error:
            raise DeliveryError(f"The command can't be started: {error.strerror}.") from None
        words = _without(said.text(), secrets)
        if said.is_cut:
            # A word that the cut went through is not known for a secret any more.
            words = words[longest:]
    if code is None:
        raise DeliveryError(f"The command took longer than {TIMEOUT_S:.0f} s and was ended.")
    if code:
        how = ending_signal(code) or f"status {code}"
        words = one_line(words, _SAID)
        raise DeliveryError(f"The command ended with {how}{': ' if words else '.'}{words}")


class _Tail:
    """The last bytes of what a command says; however much that is, it is taken and fills no disk.

    The command writes to the file ``number``, until ``nobody_else`` holds it.
    """

    def __init__(self, n_bytes: int) -> None:
        self._n_bytes = n_bytes
        self._kept = b""
        self.is_cut = False
        self._read_end, self.number = os.pipe()
        self._reader = threading.Thread(target=self._read, name="words", daemon=True)
        self._reader.start()

    def nobody_else(self) -> None:
        """Closes the end that the command was given."""
        os.close(self.number)

    def text(self) -> str:
        """What was said; the command has ended, with all that it had started."""
        self._reader.join(GRACE_S)
        return self._kept.decode(errors="replace")

    def _read(self) -> None:
        try:
            while received := os.read(self._read_end, 65_536):
                kept = self._kept + received
                self.is_cut |= len(kept) > self._n_bytes
                self._kept = kept[-self._n_bytes :]
        finally:
            os.close(self._read_end)


def _without(words: str, secrets: Sequence[str]) -> str:
    """What the command said, without its own words: shells and programs repeat them."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            words = words.replace(secret, "***")
    return words


def _post(url: str, body: Mapping[str, Any]) -> None:
    try:
        status = within(TIMEOUT_S, lambda: _status_of(url, body))
    except OutOfTimeError:
        raise DeliveryError(f"The address took longer than {TIMEOUT_S:.0f} s.") from None
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        # Not the error's own words: they may repeat the address.
        raise DeliveryError(f"The address does not answer ({type(error).__name__}).") from None
    if not 200 <= status < 300:
        raise DeliveryError(f"The address answers with status {status}.")


def _status_of(url: str, body: Mapping[str, Any]) -> int:
    # Redirects are not followed: an address says where it is.
    with (
        httpx.Client(
            timeout=TIMEOUT_S / 2,
            event_hooks={"request": [limit_request]},
            limits=httpx.Limits(max_keepalive_connections=0),
        ) as client,
        client.stream("POST", url, json=dict(body)) as answer,
    ):
        return answer.status_code
