from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from active_learning.calibration import PRIOR, fit
from benchmarks.score import figures as benchmark
from benchmarks.score.figures import Image, Measured, learnt, summarise, to_markdown


def measured(data: str, seed: int, *, shift: float, n: int = 120) -> Measured:
    """A committee whose soft Dice is too high by ``shift`` logits, and its images."""
    rng = np.random.default_rng([len(data), seed])
    true = rng.beta(8, 2, n)
    soft = expit(logit(np.clip(true, 0.01, 0.99)) + shift + rng.normal(0, 0.4, n))
    pool = tuple(
        Image(float(s), float(s), 1 - float(s), 1 - float(s), float(rng.random()), False, float(t))
        for s, t in zip(soft, true, strict=True)
    )
    return Measured(data, 16, seed, 1.0, ((0.9, 0.7, False),) * 4, pool)


@pytest.fixture(scope="module")
def found() -> list[Measured]:
    return [
        measured(name, seed, shift=shift)
        for name, shift in (("a", 0.9), ("bb", 1.0), ("ccc", 1.2))
        for seed in range(2)
    ]


@pytest.mark.slow
def test_corrections_take_the_bias_away_and_intervals_hold(
    found: list[Measured], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A mean over fewer ways of parting the pools: each takes a third of a second.
    monkeypatch.setattr(benchmark, "SPLITS", 6)
    figures = summarise(found)
    assert set(figures["datasets"]) == {"a", "bb", "ccc"}
    for name, by_n in figures["datasets"].items():
        assert list(by_n) == ["0", "10", "30", "60"]
        # What one set is like is known from the others, so that even the first score is near.
        assert abs(by_n["30"]["bias"]) < 0.03, name
        assert by_n["30"]["coverage"] > 0.85
        assert figures["measures"][name]["soft_dice"]["bias"] > 0.06
        assert by_n["30"]["spearman"] == pytest.approx(
            figures["measures"][name]["soft_dice"]["spearman"], abs=0.1
        )
        # Noise ranks nothing; a measure that falls where quality rises is turned round.
        assert abs(figures["measures"][name]["information_band"]["spearman"]) < 0.25
        assert figures["measures"][name]["entropy"]["spearman"] > 0.5
    assert figures["seeds"] == {"a": 2, "bb": 2, "ccc": 2}
    assert "| a | calibration, 30 corrections |" in to_markdown(figures)


def test_a_prior_is_what_sets_have_in_common(found: list[Measured]) -> None:
    prior = learnt(found)
    assert len(prior.residuals) == 10
    assert list(prior.residuals) == sorted(prior.residuals)
    pairs = [image.pair for one in found for image in one.pool]
    score = fit([], prior=prior).of_pairs(pairs)[0]
    assert np.mean(score - [pair.dice for pair in pairs]) == pytest.approx(0.0, abs=0.03)
    assert 0 < prior.dispersion < 0.5


def test_one_set_teaches_no_prior(found: list[Measured]) -> None:
    assert learnt(found[:2]) == PRIOR
    assert learnt([]) == PRIOR


def test_single_networks_stand_beside_the_committee() -> None:
    of_committee = measured("a", 0, shift=1.0)
    worse = measured("a", 1, shift=2.0).pool
    figures = summarise([replace(of_committee, alone=worse)])
    alone, together = figures["alone"]["a"]["soft_dice"], figures["measures"]["a"]["soft_dice"]
    assert alone["bias"] > together["bias"] + 0.05
    assert "| a | soft_dice, one network |" in to_markdown(figures)
    # Where none was measured no row says anything.
    assert ", one network" not in to_markdown(summarise([of_committee]))


def test_a_small_pool_is_judged_as_far_as_it_goes() -> None:
    figures = summarise([measured("small", 0, shift=1.0, n=55)])
    assert list(figures["datasets"]["small"]) == ["0", "10"]
