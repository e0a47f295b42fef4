"""Vectors as columns hold them."""

from __future__ import annotations

import numpy as np

from backend.store.vectors import pack, unpack


def test_a_vector_is_kept_to_half_precision() -> None:
    vector = np.array([1.0, -0.5, 1 / 3], np.float32)
    np.testing.assert_allclose(unpack(pack(vector)), vector, rtol=1e-3)
    assert unpack(pack(vector)).dtype == np.float32


def test_little_endian_on_every_machine() -> None:
    assert pack(np.array([1.0], np.float32)) == b"\x00\x3c"
    assert pack(np.array([1.0], ">f4")) == b"\x00\x3c"


def test_none_is_empty() -> None:
    assert pack(None) == b""
    assert unpack(b"").shape == (0,)
