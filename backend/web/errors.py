"""Every fault as a JSON sentence: ``{"detail": "what was wrong, and what to do"}``."""

from __future__ import annotations

import logging

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from domain.errors import (
    LabelConfigError,
    LabelStudioError,
    NnloopError,
    NotConnectedError,
    PredictionError,
    StackError,
    TaskError,
)

logger = logging.getLogger(__name__)

UNEXPECTED = "nnloop failed on this request. The reason is in its log."

# The first class that fits counts, so the special ones come first.
_STATUS: tuple[tuple[type[NnloopError], int], ...] = (
    (NotConnectedError, 404),
    (LabelStudioError, 502),
    (LabelConfigError, 503),
    (TaskError, 503),
    (PredictionError, 503),
    (StackError, 503),
)


def status_of(error: NnloopError) -> int:
    """The HTTP status that fits an error: 503 where asking again later may succeed."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def sentence(error: NnloopError | SQLAlchemyError) -> str:
    """Message and remedy in one line; of the store's errors only the driver's own words.

    SQLAlchemy's text quotes the statement with its values, and those may be image addresses that
    carry a signature.
    """
    if isinstance(error, NnloopError):
        return error.in_full
    reason = str(error.orig) if isinstance(error, DBAPIError) else ""
    name = type(error).__name__
    return (
        f"The store does not answer ({name}{': ' if reason else ''}{reason}). "
        "Check NNLOOP_DATABASE_URL, and that the disk of NNLOOP_DATA_DIR is not full."
    )


def handle_errors(app: FastAPI) -> None:
    """Registers the handlers; what they don't know is answered by ``door.Door``."""
    app.add_exception_handler(NnloopError, _on_nnloop_error)
    app.add_exception_handler(SQLAlchemyError, _on_store_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)


async def _on_nnloop_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, NnloopError)  # noqa: S101  # as registered
    text = sentence(error)
    logger.info("%s %s: %s", request.method, request.url.path, text)
    return JSONResponse({"detail": text}, status_of(error))


async def _on_store_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SQLAlchemyError)  # noqa: S101  # as registered
    text = sentence(error)
    logger.error("%s %s: %s", request.method, request.url.path, text)
    return JSONResponse({"detail": text}, 503)


async def _on_invalid_request(_request: Request, error: Exception) -> JSONResponse:
    # FastAPI's own answer quotes the input.
    assert isinstance(error, RequestValidationError)  # noqa: S101  # as registered
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return JSONResponse({"detail": f"The request can't be used: {where}: {first['msg']}."}, 422)
