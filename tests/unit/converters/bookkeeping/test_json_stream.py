from __future__ import annotations

import json
import random
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converters.bookkeeping import json_stream
from converters.bookkeeping.json_stream import iter_json
from domain.errors import FileFormatError

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def _read(path: Path, *into: str) -> list[tuple[str, str, Any]]:
    return [(p.group, p.key, p.parse()) for p in iter_json(path, into)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(_JSON, max_size=6), indent=st.sampled_from([None, 1]), chunk=st.integers(1, 9))
def test_a_list_comes_back_whatever_the_chunks(
    tmp_path: Path, rows: list[Any], indent: int | None, chunk: int
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=False), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_CHUNK", chunk)
        assert [value for _, _, value in _read(path)] == rows


def test_members_of_an_object_and_of_those_to_open(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('\ufeff{"a": 1, "images": [{"x": "]"}, 2], "b": {"c": []}, "tags": {"k": 3}}')
    assert _read(path, "images", "tags") == [
        ("", "a", 1),
        ("images", "", {"x": "]"}),
        ("images", "", 2),
        ("", "b", {"c": []}),
        ("tags", "k", 3),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cut short or empty"),
        (b"[1", "cut short"),
        (b'[1, {"a": "b', "element 2, byte 4 is cut short"),
        (b"[1 2]", "has '2' where"),
        (b"[1] x", "goes on after its end"),
        (b'{"id": 1}\n{"id": 2}', "as in JSON Lines"),
        (b"id,image\n1,a.png", "is no JSON: it starts with b'id,image"),
        (b'{"a" 1}', "without ':'"),
        (b"{1: 2}", "without a name"),
        (b"[" * 10_000 + b"]" * 10_000, "nested more than 64 levels"),
        ("[1]".encode("utf-16"), "not UTF-8"),
        (b'["\xff"]', r"element 1 \(byte 1\) of a.json is not UTF-8"),
        (b"[1, NaN]", r"element 2 \(byte 4\) of a.json can't be read: NaN"),
        (b"[" + b"9" * 10_000 + b"]", "element 1"),
        (b'[{"a":]}]', "byte 6"),
        (b"<html>", "is no JSON"),
    ],
)
def test_a_fault_names_its_place(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=said):
        _read(path)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="can't be read"):
        _read(tmp_path / "none.json")


@pytest.mark.parametrize("filler", [b'"' + b"7" * 70_000_000, b"7" * 70_000_000])
def test_an_endless_value_is_refused_in_bounded_memory(tmp_path: Path, filler: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"[" + filler)
    tracemalloc.start()
    with pytest.raises(FileFormatError, match="larger than 32 MB"):
        _read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * json_stream.MAX_PIECE_BYTES


def test_random_damage_gives_an_error_or_elements_but_never_a_crash(tmp_path: Path) -> None:
    whole = json.dumps([{"id": i, "t": 'a"\\]', "p": [[1.5, 2], [3, 4]]} for i in range(30)])
    rng = random.Random(3)
    path = tmp_path / "a.json"
    started = time.monotonic()
    for _ in range(300):
        data = bytearray(whole.encode())
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data))
            data[at : at + rng.randint(0, 5)] = rng.randbytes(rng.randint(0, 3))
        path.write_bytes(data)
        try:
            for piece in iter_json(path):
                piece.parse()
        except FileFormatError as error:
            assert str(error)
    assert time.monotonic() - started < 30
