"""A real Chromium, logged in to the Label Studio of the session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from backend.stack.label_studio_server import LabelStudioServer
from tests.conftest import installed
from tests.servers import logged_in, running_browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or the one that NNLOOP_CHROMIUM names."""
    with installed(running_browser()) as launched:
        yield launched


@pytest.fixture
def page(browser: Browser, label_studio: LabelStudioServer) -> Iterator[Page]:
    """A page of a person who has logged in through the form."""
    with logged_in(browser, label_studio) as opened:
        yield opened
