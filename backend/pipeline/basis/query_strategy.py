"""What fills a project's queues by its settings."""

from __future__ import annotations

from backend.settings import ProjectSettings

AUTO = "auto"
"""The setting's word for: ``WITH_MODEL`` or ``WITHOUT_MODEL``."""

WITH_MODEL = "lowest_score"
WITHOUT_MODEL = "typical"


def wanted_strategy(
    settings: ProjectSettings, version_id: int | None, *, has_scores: bool = False
) -> str:
    """The strategy that the settings ask for; without a version there is no score to go by.

    Unless another program said some (``has_scores``).
    """
    if settings.query_strategy != AUTO:
        return settings.query_strategy
    return WITHOUT_MODEL if version_id is None and not has_scores else WITH_MODEL
