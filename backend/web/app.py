"""The web service: the table of its routes, and what lives as long as it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from backend.credentials import service_credentials
from backend.pipeline.basis.context import AppContext
from backend.pipeline.runs import reconcile
from backend.web.body import Gate
from backend.web.door import Door
from backend.web.errors import handle_errors
from backend.web.inbox import Inbox
from backend.web.metrics import Metrics
from backend.web.openapi import PATH, document
from backend.web.routes.health import health, metrics, options_of, ready
from backend.web.routes.predict import predict
from backend.web.routes.setup import setup
from backend.web.routes.versions import versions
from backend.web.routes.webhook import webhook
from backend.web.ticker import Ticker

Endpoint = Callable[..., Coroutine[Any, Any, Any]]


ROUTES: tuple[tuple[str, Endpoint, str], ...] = (
    ("/health", health, "GET"),
    ("/", health, "GET"),
    ("/ready", ready, "GET"),
    ("/setup", setup, "POST"),
    ("/predict", predict, "POST"),
    ("/webhook", webhook, "POST"),
    ("/versions", versions, "GET"),
    ("/metrics", metrics, "GET"),
)
"""Path, what answers there, and by which method; each answers OPTIONS too, and HEAD where GET."""


def create_app(context: AppContext, *, run_ticker: bool = True) -> FastAPI:
    """Label Studio's ML backend protocol as an ASGI application.

    Args:
        context: settings, store and queue of this process; Label Studio itself is never called.
        run_ticker: whether to look every second for work that is due. Off in tests.

    Raises:
        SettingsError: if the credentials of the settings can't be used.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.inbox = inbox = Inbox(context.store)
        app.state.gate = Gate()
        app.state.metrics = Metrics(context)
        ticker = Ticker(reconcile.rounds(context))
        if run_ticker:
            ticker.start()
        try:
            yield
        finally:
            if run_ticker:
                ticker.stop()
            inbox.close()

    # No pages about the API: they would be one more thing behind the door. What programs that test
    # it read is written by hand, for FastAPI knows neither the bodies nor the faults.
    app = FastAPI(title="nnloop", openapi_url=None, redirect_slashes=False, lifespan=lifespan)
    app.state.context = context
    for path, endpoint, method in ROUTES:
        methods = ["GET", "HEAD"] if method == "GET" else [method]
        app.add_api_route(path, endpoint, methods=methods)
        app.add_api_route(path, options_of(*methods), methods=["OPTIONS"])
    if context.settings.openapi:
        app.add_api_route(PATH, lambda: JSONResponse(document()), methods=["GET"])
    handle_errors(app)
    app.add_middleware(Door, credentials=service_credentials(context.settings))
    return app


def open_app() -> FastAPI:
    """The application of a process that serves alone; reads the settings from the environment."""
    return create_app(AppContext.open())
