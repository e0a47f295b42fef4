from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic_core import PydanticSerializationError

from converters.bookkeeping.documents import from_json, read_document, to_json, write_document
from domain.errors import DocumentError


@dataclass(frozen=True, slots=True)
class Part:
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Whole:
    name: str
    parts: dict[int, Part] = field(default_factory=dict)
    form: Literal[1] = 1


WHOLE = Whole("a", {3: Part((0.5, None))})


def test_a_document_survives_a_file(tmp_path: Path) -> None:
    write_document(tmp_path / "whole.json", Whole, WHOLE)
    assert read_document(tmp_path / "whole.json", Whole) == WHOLE
    assert json.loads((tmp_path / "whole.json").read_text()) == {
        "name": "a",
        "parts": {"3": {"values": [0.5, None]}},
        "form": 1,
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"parts": {}}, "A stored Whole can't be read: name: Field required"),
        ({"name": "a", "parts": {"3": {"values": ["x"]}}}, r"parts.3.values.0: .*, got 'x'"),
        ({"name": "a", "form": 2}, "form: Input should be 1, got 2"),
        (["a"], "all of it: "),
    ],
)
def test_what_is_no_such_document_is_told_of_with_its_place(value: Any, message: str) -> None:
    with pytest.raises(DocumentError, match=message) as caught:
        from_json(Whole, value)
    assert "release of nnloop that wrote it" in caught.value.remedy


def test_a_file_that_is_no_json_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "whole.json").write_text("{")
    with pytest.raises(DocumentError, match=r"whole\.json is no JSON"):
        read_document(tmp_path / "whole.json", Whole)


def test_what_is_no_value_of_a_document_is_not_written() -> None:
    wrong: Any = Whole("a", {1: Part((np.zeros(2),))})  # type: ignore[arg-type]
    with pytest.raises(PydanticSerializationError):
        to_json(Whole, wrong)
