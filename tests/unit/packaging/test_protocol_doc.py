from __future__ import annotations

import importlib
import re

import pytest

from tests.unit.packaging.paths import ROOT

PAGE = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


def served_routes() -> set[str]:
    """Method and path of every route the application adds."""
    from backend.web.app import ROUTES

    return {f"{method} {path}" for path, _, method in ROUTES}


def test_every_route_is_documented_and_no_other() -> None:
    routes = served_routes()
    assert len(routes) >= 7
    assert set(re.findall(r"(?m)^\| `([A-Z]+ /\w*)` \|", PAGE)) == routes


def test_routes_open_to_all_are_those_the_page_says() -> None:
    from backend.web.door import OPEN_PATHS

    assert {"/health", "/ready"} == OPEN_PATHS
    assert "Every route but `/health` and `/ready` asks for Basic authentication" in PAGE


@pytest.mark.parametrize("route", ["setup", "predict", "webhook"])
def test_limits_are_those_of_the_code(route: str) -> None:
    limit = importlib.import_module(f"backend.web.routes.{route}").LIMIT_MIB
    assert f"{limit} MiB (`/{route}`)" in PAGE


def test_figures_are_those_of_the_code() -> None:
    from backend.settings import Settings
    from backend.web.answer import MAX_URGENT
    from backend.web.inbox import PATIENCE_S
    from backend.web.pieces import MAX_PIECES
    from backend.web.punctual import PATIENCE_S as PATIENCE_OF_REQUESTS_S
    from backend.web.routes.setup import UNTRAINED

    assert f"more than {MAX_PIECES:,} tasks" in PAGE
    assert f"within {PATIENCE_OF_REQUESTS_S:g} s" in PAGE
    fields = Settings.model_fields
    assert f"`{UNTRAINED}` while there is none" in PAGE
    assert re.search(rf"the pool, {MAX_URGENT}\s+of one request", PAGE)
    assert PATIENCE_S == 0.5 and "within half a second" in PAGE
    assert f"`NNLOOP_PREDICT_DEADLINE_S` ({fields['predict_deadline_s'].default:g} s)" in PAGE
    assert f"`NNLOOP_SYNC_INTERVAL_S` ({fields['sync_interval_s'].default:g} s)" in PAGE
