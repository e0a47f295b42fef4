"""Pools that hypothesis makes: any size, with whatever is unknown."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from active_learning.strategies import Pool

MEASURES = ("entropy", "mutual_information", "pairwise_dice")

UNKNOWN = ("none", "some", "all")


@st.composite
def pools(draw: st.DrawFn, most: int = 25) -> Pool:
    """Some with equal values, some with images that are there twice, some that know nothing."""
    n = draw(st.integers(0, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))

    def values(*shape: int) -> npt.NDArray[np.float64]:
        levels = draw(st.sampled_from([1, 2, 1000]))
        found = rng.integers(0, levels, (n, *shape)) / max(levels - 1, 1)
        unknown = {"none": 0.0, "some": 0.4, "all": 1.1}[draw(st.sampled_from(UNKNOWN))]
        found[rng.random(n) < unknown] = np.nan
        return np.asarray(found)

    embeddings = labelled = None
    if draw(st.booleans()):
        kinds = draw(st.sampled_from([1, 3, 1000]))
        # At least one is there to be drawn from.
        different = unit(rng.normal(size=(kinds, 6)))
        embeddings = different[rng.integers(0, kinds, n)]
        embeddings[rng.random(n) < draw(st.sampled_from([0.0, 0.3]))] = np.nan
        if draw(st.booleans()):
            labelled = different[rng.integers(0, kinds, draw(st.integers(0, 4)))]
    return Pool(
        task_ids=rng.permutation(1000)[:n],
        quality=values(),
        measures={name: values() for name in draw(st.sets(st.sampled_from(MEASURES)))},
        class_shares=values(draw(st.integers(0, 3))),
        embeddings=embeddings,
        labelled_embeddings=labelled,
        progress=draw(st.sampled_from([0.0, 0.5, 1.0])),
    )


def unit(vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """(n, d) vectors of length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def plain(n: int, **changed: object) -> Pool:
    """A pool of n predicted tasks, ids 0 to n - 1, one class in all of them."""
    whole: dict[str, object] = {
        "task_ids": np.arange(n),
        "quality": np.full(n, 0.5),
        "measures": {},
        "class_shares": np.full((n, 1), 0.5),
    }
    return Pool(**(whole | changed))  # type: ignore[arg-type]  # whatever a test changes
