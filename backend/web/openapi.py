"""The web service as an OpenAPI document: for programs that test it, served where settings ask.

FastAPI would make one of its own, and know neither bodies nor faults: bodies are read in pieces,
and the door stands before all routes.
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from backend.web.metrics import MEDIA_TYPE
from backend.web.protocol import (
    HealthAnswer,
    PredictAnswer,
    PredictRequest,
    Received,
    SetupAnswer,
    SetupRequest,
    VersionsAnswer,
    WebhookAnswer,
    WebhookEvent,
)

PATH = "/openapi.json"

Json = dict[str, Any]

_REF = "#/components/schemas/"
_MODELS = (
    (SetupRequest, "validation"),
    (PredictRequest, "validation"),
    (WebhookEvent, "validation"),
    (HealthAnswer, "serialization"),
    (SetupAnswer, "serialization"),
    (PredictAnswer, "serialization"),
    (WebhookAnswer, "serialization"),
    (VersionsAnswer, "serialization"),
)
_DETAIL: Json = {
    "type": "object",
    "description": "What was wrong, and what to do.",
    "properties": {"detail": {"type": "string"}},
    "required": ["detail"],
    "additionalProperties": False,
}
_READINESS: Json = {
    "type": "object",
    "properties": {
        "status": {"enum": ["READY", "NOT READY"]},
        "reasons": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["status", "reasons"],
    "additionalProperties": False,
}
_BY_STATUS = {
    400: "The body is not JSON.",
    401: "No or wrong credentials.",
    404: "The project is not connected, or another one had its id when it was.",
    408: "The body did not come in time.",
    413: "The body is too large, or has too many tasks or values.",
    422: "A needed field is missing or wrong.",
    503: "Asking later may succeed.",
}
_PROJECT: Json = {
    "name": "project",
    "in": "query",
    "description": "Id of a project, as Label Studio writes it; without it that of the login.",
    # Of 2.1795238184 the first number counts.
    "schema": {"type": "string", "pattern": r"^(0{0,1}[1-9][0-9]{0,17}(\..*)?)?$"},
}


def document() -> Json:
    """The document, OpenAPI 3.1, as a JSON value."""
    _, found = models_json_schema(_MODELS, ref_template=_REF + "{model}")  # type: ignore[arg-type]
    schemas = {**found["$defs"], "Detail": _DETAIL, "Readiness": _READINESS}
    schemas["PredictRequest"]["anyOf"] = _PROJECT_OR_NO_TASK
    health = _answer("The service runs.", _ref("HealthAnswer"))
    ready = {
        "200": _answer("It can work.", _ref("Readiness")),
        "503": _answer("It can't, and why.", {"anyOf": [_ref("Readiness"), _ref("Detail")]}),
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "nnloop", "version": "1"},
        "paths": {
            "/": _got(_responses({"200": health})),
            "/health": _got(_responses({"200": health}), is_open=True),
            "/ready": _got(_responses(ready), is_open=True),
            "/metrics": _got(
                _responses({"200": _answer("Metrics.", {"type": "string"}, MEDIA_TYPE)}, 503)
            ),
            "/versions": _got(
                _responses(
                    {"200": _answer("Names of versions.", _ref("VersionsAnswer"))}, 404, 422, 503
                ),
                parameters=[_PROJECT],
            ),
            "/setup": _posted(SetupRequest, _SETUP, "SetupAnswer", 503),
            "/predict": _posted(PredictRequest, _PREDICT, "PredictAnswer", 404, 503),
            "/webhook": _posted(WebhookEvent, _WEBHOOK, "WebhookAnswer"),
        },
        "components": {
            "schemas": schemas,
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
        },
        "security": [{"basic": []}],
    }


_SETUP: Json = {"project": 1, "access_token": "", "extra_params": None}
_PREDICT: Json = {
    "tasks": [{"id": 1, "data": {"image": "/data/upload/1.png"}}],
    "project": 1,
    "params": {"context": None},
}
_WEBHOOK: Json = {
    "action": "ANNOTATION_CREATED",
    "project": {"id": 1},
    "task": {"id": 1, "data": {"image": "/data/upload/1.png"}},
    "annotation": {"id": 1, "task": 1, "result": []},
}
_TEXT: Json = {"type": "string"}
# Who names no project in the body names it in the first task, or asks for nothing.
_PROJECT_OR_NO_TASK: list[Json] = [
    {"required": ["project"], "properties": {"project": {"not": {"type": "null"}}}},
    {"properties": {"tasks": {"type": "array", "maxItems": 0}}},
]


def _ref(name: str) -> Json:
    return {"$ref": _REF + name}


def _answer(description: str, schema: Json, media_type: str = "application/json") -> Json:
    return {"description": description, "content": {media_type: {"schema": schema}}}


def _responses(own: Json, *statuses: int) -> Json:
    """Its own answers, and the sentences of what may be wrong; the door's always."""
    found = {str(status): _answer(_BY_STATUS[status], _ref("Detail")) for status in statuses}
    refused = _answer(_BY_STATUS[401], _ref("Detail"))
    refused["headers"] = {"WWW-Authenticate": {"required": True, "schema": _TEXT}}
    return {**own, **found, "401": refused}


def _got(responses: Json, *, is_open: bool = False, **more: Any) -> Json:
    """GET, HEAD and OPTIONS of a path."""
    heads = {
        status: {key: value for key, value in answer.items() if key != "content"}
        for status, answer in responses.items()
    }
    common = {**more, **({"security": [{}, {"basic": []}]} if is_open else {})}
    return {
        "get": {"responses": responses, **common},
        "head": {"responses": heads, **common},
        "options": _options(is_open=is_open),
    }


def _posted(model: type[Received], example: Json, answer: str, *statuses: int) -> Json:
    """POST and OPTIONS of a path."""
    body = {"application/json": {"schema": _ref(model.__name__), "example": example}}
    own = {"200": _answer("As Label Studio expects it.", _ref(answer))}
    return {
        "post": {
            "requestBody": {"required": True, "content": body},
            "responses": _responses(own, 400, 408, 413, 422, *statuses),
        },
        "options": _options(),
    }


def _options(*, is_open: bool = False) -> Json:
    allowed = {
        "description": "The methods of the path.",
        "headers": {"Allow": {"required": True, "schema": _TEXT}},
    }
    found: Json = {"responses": _responses({"200": allowed})}
    return {**found, "security": [{}, {"basic": []}]} if is_open else found
