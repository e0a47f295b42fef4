"""The page of a project, from a real store."""

from __future__ import annotations

import re
from pathlib import Path

from backend.report.write import ReportOptions, write_report
from backend.store import projects
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.held_out import add_version, cases


def page_of(app: FakeApp, out: Path) -> str:
    return write_report(app.context, PROJECT, ReportOptions(out)).read_text()


def test_a_project_without_a_version_says_what_is_missing(app: FakeApp, tmp_path: Path) -> None:
    page = page_of(app, tmp_path / "new" / "folder")
    assert page.count('class="missing"') == 9  # every section
    assert "No model has been trained yet" in page
    assert "10 more needed" in page


def test_the_page_asks_for_nothing_and_says_of_what_its_figures_are(
    app: FakeApp, tmp_path: Path
) -> None:
    add_version(app, 1, cases(10, 0.7))
    add_version(app, 2, cases(20, 0.8, dict.fromkeys(range(10, 20), 0.3)))
    page = page_of(app, tmp_path)
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert "<script" not in page
    assert "On 20 labelled images that were held out" in page
    assert "50 more labels would probably add 0." in page
    assert all('alt="' in image for image in re.findall(r"<img[^>]*>", page))


def test_what_people_wrote_is_escaped(app: FakeApp, tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>$x_"
    add_version(app, 1, cases(10, 0.7), name=evil)
    add_version(app, 2, cases(12, 0.7), name=evil)
    with app.store.begin() as session:
        projects.get(session, PROJECT).title = evil
    page = page_of(app, tmp_path)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 3
