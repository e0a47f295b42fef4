"""What a person began an annotation with: nothing, or which prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from converters.label_studio.corrections import n_shared
from converters.label_studio.predicted import Result, is_marked

_PREDICTED_ORIGINS = ("prediction", "prediction-changed")


class Beginning(StrEnum):
    """What an annotation was made of."""

    NOTHING = "nothing"
    PREDICTION = "prediction"
    OTHER = "other"
    """Another program's prediction, an annotation of another project, or nobody can tell."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A prediction of nnloop's for the task of an annotation.

    Attributes:
        result: Its entries, as they were pushed.
        is_there: Label Studio holds it.
        is_gone: Label Studio may have held it when the annotation was made, and does no more.
    """

    result: Result
    is_there: bool
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """What an annotation began with; ``position`` of the candidate, None without."""

    what: Beginning
    position: int | None = None


def beginning_of(submitted: Result, candidates: Sequence[Candidate], *, has_parent: bool) -> Begun:
    """Decides what an annotation was made of.

    Label Studio keeps the ids of regions that are taken over from a prediction, and it names the
    prediction (``parent_prediction``) until that is deleted, as every prediction is once a newer
    version has one. So shared ids decide. Where there are none, a parent says that all was removed
    or that nothing was predicted; and no parent, that a person began with a clean page, unless the
    parent may have been forgotten.

    Args:
        submitted: Entries of the annotation.
        candidates: Of its task, the newest first.
        has_parent: Whether Label Studio named, or names, a prediction.
    """
    shared = [n_shared(one.result, submitted) for one in candidates]
    if any(shared):
        return Begun(Beginning.PREDICTION, shared.index(max(shared)))
    if any(_is_taken_over(entry.get("id"), entry.get("origin")) for entry in submitted):
        return Begun(Beginning.OTHER)
    if has_parent:
        there = next((i for i, one in enumerate(candidates) if one.is_there), None)
        return Begun(Beginning.OTHER if there is None else Beginning.PREDICTION, there)
    if any(one.is_gone for one in candidates):
        return Begun(Beginning.OTHER)
    return Begun(Beginning.NOTHING)


def _is_taken_over(region_id: object, origin: object) -> bool:
    is_ours = isinstance(region_id, str) and is_marked(region_id)
    return is_ours or origin in _PREDICTED_ORIGINS
