"""A real Chromium, logged in to the Label Studio of the session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from backend.stack.label_studio_server import LabelStudioServer
from tests.conftest import missing

PAGE_MS = 60_000
"""Longest wait for a page: Label Studio's editor is large and two cores may be busy."""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or the one that NNLOOP_CHROMIUM names."""
    path = os.environ.get("NNLOOP_CHROMIUM", "/usr/bin/chromium")
    if not Path(path).exists():
        missing(f"no browser at {path}: install chromium or set NNLOOP_CHROMIUM")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, label_studio: LabelStudioServer) -> Iterator[Page]:
    """A page of a person who has logged in through the form."""
    context = browser.new_context(
        base_url=label_studio.url, viewport={"width": 1400, "height": 1000}
    )
    context.set_default_timeout(PAGE_MS)
    opened = context.new_page()
    opened.goto("/user/login")
    opened.fill("input[name=email]", label_studio.credentials.email)
    opened.fill("input[name=password]", label_studio.credentials.password)
    opened.click("button[type=submit]")
    opened.wait_for_url(lambda url: "/user/login" not in url)
    yield opened
    context.close()
