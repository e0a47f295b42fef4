from __future__ import annotations

from tests.unit.packaging.runs_doc import MACHINES, PAGE, updated

HOW = "bring it up to date: python -m tests.unit.packaging.runs_doc"


def test_the_page_draws_the_machines_as_they_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == updated(page), HOW
    for name, machine in MACHINES.items():
        assert f"<!-- {name} -->" in page
        for before, after in machine.allowed:
            assert f"`{before}`" in page and f"`{after}`" in page
