"""What fills a project's queues by its settings."""

from __future__ import annotations

from backend.settings import ProjectSettings

AUTO = "auto"
"""The setting's word for: ``WITH_MODEL``, ``WITHOUT_MODEL`` or ``WITH_SCORES``."""

WITH_MODEL = "stratified_random"
"""What did best overall in ``benchmarks.active`` (docs/active-learning.md)."""

WITHOUT_MODEL = "typical"

WITH_SCORES = "lowest_score"
"""Before a first version, where another program has said how good its predictions are."""


def wanted_strategy(
    settings: ProjectSettings, version_id: int | None, *, has_scores: bool = False
) -> str:
    """The strategy that the settings ask for.

    Without a version there is no score to go by, unless another program said some (``has_scores``).
    """
    if settings.query_strategy != AUTO:
        return settings.query_strategy
    if version_id is not None:
        return WITH_MODEL
    return WITH_SCORES if has_scores else WITHOUT_MODEL
