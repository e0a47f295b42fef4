from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import report


@pytest.mark.slow
def test_it_measures_a_whole_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    report.main(["--tasks", "300", "--classes", "5", "--versions", "3", "--out", str(page)])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    text = page.read_text()
    assert "30 of 300 images of the project are labelled by now" in text
    assert "No learning curve yet" not in text
    assert '<th scope="row">held out</th>' in text and '<th scope="row">corrected</th>' in text
    assert found["page_kib"] == len(text.encode()) // 1024 > 50
    assert found["cases_chosen"] == 12 and found["longest_table_rows"] == 5
