"""Reads a request's body into a model of the protocol, whatever content type it is sent as."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio
import anyio.to_thread
from fastapi import HTTPException, Request
from pydantic import ValidationError

from backend.web.pieces import NotJsonError, TooManyError, members_of
from backend.web.protocol import Received
from domain.text import counted

MIB = 2**20

AT_ONCE_BYTES = 64 * 1024
"""A body up to this size is parsed where it is read: 40 ms at most, for nothing but small tasks."""

LARGE_BYTES = MIB
LARGE_AT_ONCE = 2
"""So many bodies larger than that are in memory at one time; others wait for their turn."""

LONGEST_S = 60.0
"""Seconds that a body may take to come, and to wait for its turn."""

Model = TypeVar("Model", bound=Received)


class Gate:
    """Lets few large bodies into memory at a time. One for an application."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(LARGE_AT_ONCE)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """A turn that is taken when it is needed, and given back at the end."""
        turn = Turn(self._turns)
        try:
            yield turn
        finally:
            turn.give_back()


class Turn:
    """Of one body."""

    def __init__(self, turns: asyncio.Semaphore) -> None:
        self._turns, self._is_taken = turns, False

    async def take(self) -> None:
        """Waits for it; at once when it was taken before."""
        if not self._is_taken:
            await self._turns.acquire()
            self._is_taken = True

    def give_back(self) -> None:
        """Lets the next one in."""
        if self._is_taken:
            self._turns.release()
            self._is_taken = False


async def read_body(request: Request, model: type[Model], limit_mib: int) -> Model:
    """Reads and checks a JSON body.

    A small one is parsed by pydantic at once, a larger one in a thread and in pieces
    (``web/pieces.py``), so that others are answered meanwhile.

    Args:
        request: where the body is read from.
        model: what it must be.
        limit_mib: largest body that is taken, in MiB.

    Raises:
        HTTPException: 413 for a larger body or one of too many tasks, 408 when it does not come,
            400 when it is not JSON, 422 when a field is missing or wrong. The message never quotes
            the body, which carries tokens.
    """
    gate: Gate = request.app.state.gate
    not_json = HTTPException(400, "The body is not JSON. Send the JSON that Label Studio sends.")
    try:
        async with gate.turn() as turn:
            body = await _bytes(request, limit_mib, turn)
            if len(body) <= AT_ONCE_BYTES:
                return model.model_validate_json(body)
            return await anyio.to_thread.run_sync(_in_pieces, model, body)
    except NotJsonError:
        raise not_json from None
    except TooManyError as error:
        raise HTTPException(413, f"The body has {error}. Send fewer tasks at once.") from None
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
    if any(fault["type"] == "json_invalid" for fault in faults):
        raise not_json
    first = faults[0]
    where = ".".join(str(part) for part in first["loc"]) or "the body"
    raise HTTPException(
        422,
        f"The body can't be used: {where}: {first['msg']} ({counted(len(faults), 'fault')}). "
        "Send the JSON that Label Studio sends.",
    )


def _in_pieces(model: type[Model], body: bytearray) -> Model:
    return model.model_validate(members_of(body, model.wanted(), is_hint=model.is_hint))


async def _bytes(request: Request, limit_mib: int, turn: Turn) -> bytearray:
    received = bytearray()
    declared = request.headers.get("content-length", "")
    too_large = HTTPException(
        413, f"The body is larger than {limit_mib} MiB. Send fewer tasks at once."
    )
    if declared.isdigit() and int(declared) > limit_mib * MIB:
        raise too_large
    try:
        with anyio.fail_after(LONGEST_S):
            # A chunked body declares no length, so count as well.
            async for chunk in request.stream():
                received += chunk
                if len(received) > limit_mib * MIB:
                    raise too_large
                if len(received) > LARGE_BYTES:
                    await turn.take()
    except TimeoutError:
        raise HTTPException(
            408, f"The body, or its turn, did not come within {LONGEST_S:g} s. Send it again."
        ) from None
    return received
