"""The report in a real browser: it asks for nothing, and fits on a phone and on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from backend.report import html
from backend.report.cases.examined import Examined
from backend.report.write import sections_of, subtitle_of
from tests.fakes.report import everything_known, examined, nothing_known

PHONE, DESK = (390, 844), (1280, 900)
REPORTS = {
    "nothing": (nothing_known(), Examined()),
    "everything": (everything_known(), examined(8, n_without=2)),
}


def written(name: str, folder: Path) -> Path:
    """The page of figures, as a file."""
    figures, cases = REPORTS[name]
    path = folder / "report.html"
    path.write_text(html.page(figures.title, subtitle_of(figures), sections_of(figures, cases)))
    return path


@contextmanager
def opened(
    browser: Browser, path: Path, size_wh: tuple[int, int]
) -> Iterator[tuple[Page, list[str]]]:
    """The page in a window, and what its reader is not to see: faults and requests."""
    width, height = size_wh
    context = browser.new_context(viewport={"width": width, "height": height})
    page, faults = context.new_page(), list[str]()
    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on(
        "request",
        lambda one: None if one.url.startswith(("file:", "data:")) else faults.append(one.url),
    )
    page.goto(path.as_uri())
    yield page, faults
    context.close()


@pytest.mark.parametrize("size_wh", [PHONE, DESK])
@pytest.mark.parametrize("name", REPORTS)
def test_it_asks_for_nothing_and_never_scrolls_sideways(
    browser: Browser, tmp_path: Path, name: str, size_wh: tuple[int, int]
) -> None:
    with opened(browser, written(name, tmp_path), size_wh) as (page, faults):
        page.wait_for_load_state("networkidle")
        width = page.evaluate("document.documentElement.scrollWidth")
        n_broken = page.evaluate("[...document.images].filter(i => !i.naturalWidth).length")
        n_images = page.evaluate("document.images.length")
    assert faults == []
    assert width <= size_wh[0]
    assert n_broken == 0
    assert n_images == {"nothing": 0, "everything": 3 + 6 * 4 + 4 * 3}[name]


def test_wide_tables_scroll_in_themselves_below_a_caption_that_can_be_read(
    browser: Browser, tmp_path: Path
) -> None:
    with opened(browser, written("everything", tmp_path), PHONE) as (page, _):
        tables = page.locator("figure.table")
        n_wide = 0
        for one in tables.all():
            caption = one.locator("figcaption").bounding_box()
            assert caption is not None and caption["x"] >= 0
            assert caption["x"] + caption["width"] <= PHONE[0]
            n_wide += one.locator(".scroll").evaluate("e => e.scrollWidth > e.clientWidth")
        assert n_wide >= 1
        name = page.locator("tbody th", has_text=re.compile("^nnloop-v30$")).first.bounding_box()
        assert name is not None and name["height"] < 60  # not a line for every syllable


def test_links_of_the_head_lead_to_sections(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, written("everything", tmp_path), DESK) as (page, _):
        links = page.locator("nav a")
        for link in links.all():
            target = link.get_attribute("href")
            assert target is not None
            assert page.locator(f"section{target} h2").inner_text() == link.inner_text()
        page.get_by_role("link", name="Worst cases").click()
        assert page.locator("#worst h2").is_visible()
        box = page.locator("#worst").bounding_box()
        assert box is not None and abs(box["y"]) < 5


def test_on_paper_nothing_is_cut_off(browser: Browser, tmp_path: Path) -> None:
    """Of A4 at 96 dots per inch, 18 mm of margins on either side left out."""
    with opened(browser, written("everything", tmp_path), (658, 990)) as (page, _):
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth") <= 658
        assert not page.locator("nav").is_visible()
