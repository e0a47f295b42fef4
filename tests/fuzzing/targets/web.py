"""Bodies of requests, whole and in pieces, as ``web/body.py`` reads them."""

from __future__ import annotations

import json

from pydantic import ValidationError

from backend.label_studio.login import has_expired
from backend.web.pieces import NotJsonError, TooManyError, members_of
from backend.web.protocol import (
    PredictRequest,
    Received,
    SetupRequest,
    WebhookEvent,
    project_id_of,
)
from tests.fuzzing.target import Target
from tests.fuzzing.targets.label_studio import GOLDEN


def _bodies(kind: str) -> list[bytes]:
    found = []
    for path in sorted(GOLDEN.glob(f"calls/{kind}*.json")):
        body = json.loads(path.read_bytes())["body"]
        found.append(json.dumps(body).encode())
    return found


def _body(data: bytes, model: type[Received]) -> None:
    try:
        _use(model.model_validate_json(data))
    except ValidationError as error:
        error.errors(include_url=False, include_input=False, include_context=False)
    _use(model.model_validate(members_of(bytearray(data), model.wanted(), is_hint=model.is_hint)))


def _use(body: Received) -> None:
    if isinstance(body, PredictRequest):
        assert all(task.id > 0 for task in body.tasks)
        body.project_id  # noqa: B018
    if isinstance(body, WebhookEvent):
        assert all(0 < one < 2**63 for one in body.task_ids)
        json.dumps(body.task_ids)


def _of(kind: str, model: type[Received]) -> Target:
    return Target(
        f"body_{kind}",
        lambda: _bodies(kind),
        lambda data: _body(data, model),
        allowed=(ValidationError, NotJsonError, TooManyError),
    )


TARGETS = (
    _of("setup", SetupRequest),
    _of("predict", PredictRequest),
    _of("webhook", WebhookEvent),
    Target(
        "project_in_query",
        lambda: [b"2", b"2.1795238184"],
        lambda data: project_id_of(data.decode("utf-8", "surrogateescape")),
        allowed=(ValueError,),
    ),
    Target(
        "access_token",
        lambda: [b"eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3OTUyMzgxODR9.c2ln", b"x"],
        lambda data: has_expired(data.decode("latin-1")),
        allowed=(),
    ),
)
