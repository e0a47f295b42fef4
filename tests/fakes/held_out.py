"""Versions in a real store that held out cases, each with the Dice that is wanted."""

from __future__ import annotations

from domain.case import Manifest, ManifestEntry
from tests.fakes.app import FakeApp
from tests.fakes.documents import run_manifest
from training.presets import TINY, Preset
from training.versions.manifests import RunManifest
from training.versions.metrics import VersionMetrics


def manifest_of(case_ids: list[str], preset: Preset = TINY, changed: str = "") -> RunManifest:
    entries = tuple(
        ManifestEntry(case_id, i, i, "other" if case_id == changed else "hash", case_id, i % 2)
        for i, case_id in enumerate(case_ids)
    )
    return run_manifest(Manifest(entries, (), ("lumen",), 2), preset)


def add_version(
    app: FakeApp,
    number: int,
    dice: dict[str, float],
    *,
    preset: Preset = TINY,
    changed: str = "",
    name: str = "lumen",
) -> int:
    """A version that held each of its cases out."""
    per_case: dict[str, dict[str, float | None]] = {k: {name: v} for k, v in dice.items()}
    metrics = VersionMetrics(
        labels=len(dice), oof_dice={name: sum(dice.values()) / len(dice)}, dice_per_case=per_case
    )
    return app.add_version(
        number, metrics=metrics, manifest=manifest_of(list(dice), preset, changed)
    )


def cases(n: int, dice: float, hard: dict[int, float] | None = None) -> dict[str, float]:
    return {f"task_{i:08d}": (hard or {}).get(i, dice) for i in range(n)}
