from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backend.replay.images.embeddings import FILE, Embeddings, read_embeddings
from backend.replay.images.library import Library, write_library
from backend.replay.networks.embed import embed
from tests.unit.backend.replay.images.test_library import labelled
from tests.unit.backend.replay.toy import CLASSES, toy_cases

LIBRARY = Library(CLASSES, 1, toy_cases(4))


def some() -> Embeddings:
    rng = np.random.default_rng(0)
    return Embeddings({c.content_hash: rng.random(3, dtype=np.float32) for c in LIBRARY.cases})


def test_they_come_back_and_belong_to_contents(tmp_path: Path) -> None:
    some().write(tmp_path)
    found = read_embeddings(tmp_path, LIBRARY)
    assert found is not None
    assert np.array_equal(found.of(LIBRARY.cases), some().of(LIBRARY.cases))
    changed = replace(LIBRARY.cases[0], content_hash="other")
    assert np.isnan(found.of([changed])).all()
    assert found.of([]).shape == (0, 3)
    # Of a library with an image they don't know there are none.
    other = replace(LIBRARY, cases=(*LIBRARY.cases[1:], changed))
    assert read_embeddings(tmp_path, other) is None


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_files_that_are_broken_or_gone(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / FILE).write_bytes(content)
    assert read_embeddings(tmp_path, LIBRARY) is None


@pytest.mark.slow
def test_the_encoder_sees_each_image_once(tmp_path: Path) -> None:
    library = write_library([labelled("a"), labelled("b", 2)], CLASSES, tmp_path)
    found = embed(library, tmp_path)
    assert found is not None
    vectors = found.of(library.cases)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    written = (tmp_path / FILE).stat().st_mtime_ns
    again = embed(library, tmp_path)
    assert again is not None and np.array_equal(again.of(library.cases), vectors)
    assert (tmp_path / FILE).stat().st_mtime_ns == written
