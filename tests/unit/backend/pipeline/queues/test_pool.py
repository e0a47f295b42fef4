"""The pool as strategies see it."""

from __future__ import annotations

import pytest

from active_learning.measures import ImageMeasures
from backend.pipeline.queues.pool import open_pool
from backend.store.models import PredictionRow
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.queues.filled import serve


@pytest.mark.parametrize(
    ("pairwise_dice", "acts"), [(None, "lowest_score"), (0.9, "bald")], ids=["alone", "compared"]
)
def test_a_network_that_was_compared_with_nothing_knows_no_disagreement(
    lab: FakeApp, pairwise_dice: float | None, acts: str
) -> None:
    """Its mutual information is 0 of every image, which is no order."""
    version = serve(lab, 1)
    with lab.store.begin() as session:
        for row in session.query(PredictionRow).filter_by(version_id=version):
            row.measures = ImageMeasures(1, 0.8, pairwise_dice, 0.1, 0.2, 0.0, 0.0)
    with lab.store.read() as session:
        pool = open_pool(session, PROJECT, version, "bald")
        assert pool.strategy == acts
        assert open_pool(session, PROJECT, version, "fold_disagreement").strategy == (
            acts if pairwise_dice is None else "fold_disagreement"
        )
