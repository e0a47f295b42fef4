import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.label_studio.images import shown
from backend.label_studio.task_pages import _utc
from backend.label_studio.tasks import _upload_batches, plain_name


@given(st.text(max_size=300))
def test_a_plain_name_is_plain_short_and_steady(name: str) -> None:
    plain = plain_name(name)
    assert re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9]+)?", plain)
    assert len(plain) <= 60
    assert plain_name(plain) == plain


@given(st.lists(st.tuples(st.sampled_from(["a.png", "b.png", "c c.png"]), st.binary(max_size=4))))
def test_batches_keep_the_order_and_hold_each_name_once(files: list[tuple[str, bytes]]) -> None:
    batches = list(_upload_batches(files))
    assert [row for batch in batches for row in batch] == [(plain_name(n), c) for n, c in files]
    for batch in batches:
        assert len({name for name, _ in batch}) == len(batch) > 0


def test_batches_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.label_studio.tasks.UPLOAD_FILES", 3)
    monkeypatch.setattr("backend.label_studio.tasks.UPLOAD_BYTES", 10)
    files = [(f"{i}.png", b"x" * size) for i, size in enumerate([1, 1, 1, 1, 9, 20, 1])]
    assert [len(batch) for batch in _upload_batches(files)] == [3, 2, 1, 1]


@pytest.mark.parametrize(
    ("text", "filter_value"),
    [
        ("2026-11-21T07:40:05.214150Z", "2026-11-21T07:40:05.214150Z"),
        ("2026-11-21T07:40:05Z", "2026-11-21T07:40:05.000000Z"),  # no fraction
        ("2026-11-21T09:40:05+02:00", "2026-11-21T07:40:05.000000Z"),  # another zone
    ],
)
def test_times_are_written_as_the_filter_reads_them(text: str, filter_value: str) -> None:
    assert _utc(text) == filter_value


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("https://u:p@host/a.png?sig=1", "https://***@host/a.png"),
        ("/data/local-files/?d=a/b.png", "/data/local-files/?d=a/b.png"),
        ("data:image/png;base64,AAAAAAAAAAAAAAAAAAAAAAAA", "data:image/png;base64,AAAAAAAA..."),
        ("http://host/" + "x" * 500, "http://host/" + "x" * 145 + "..."),
    ],
)
def test_addresses_are_shown_without_secrets(uri: str, text: str) -> None:
    assert shown(uri) == text
