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
    """What Label Studio says of a prediction of nnloop's for the task of an annotation.

    Attributes:
        is_gone: It may have held it when the annotation was made, and does no more.
        is_parent: It names it as what the annotation was made of.
    """

    is_gone: bool = False
    is_parent: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """What an annotation began with; ``position`` of the candidate, None without."""

    what: Beginning
    position: int | None = None


def told_by_regions(submitted: Result, predicted: Sequence[Result]) -> Begun | None:
    """What an annotation was made of, as its own regions say; None where they say nothing.

    Label Studio keeps the ids of regions that are taken over from a prediction.

    Args:
        submitted: Entries of the annotation.
        predicted: Those of nnloop's predictions for its task, the newest first.
    """
    shared = [n_shared(one, submitted) for one in predicted]
    if any(shared):
        return Begun(Beginning.PREDICTION, shared.index(max(shared)))
    if any(_is_taken_over(entry.get("id"), entry.get("origin")) for entry in submitted):
        return Begun(Beginning.OTHER)
    return None


def told_by_parent(
    candidates: Sequence[Candidate], *, has_parent: bool, is_parent_there: bool = False
) -> Begun:
    """What an annotation was made of whose regions do not say it.

    Label Studio names the prediction (``parent_prediction``) until that is deleted: by nnloop once
    a newer version has one, or by hand. So a parent says that all was removed, or that nothing was
    predicted; and no parent, that a person began with a clean page, unless the parent may have been
    forgotten.

    Args:
        candidates: nnloop's predictions for its task.
        has_parent: Whether Label Studio named, or names, a prediction.
        is_parent_there: It holds that: one that is none of the candidates is another program's.
    """
    gone = [position for position, one in enumerate(candidates) if one.is_gone]
    if not has_parent:
        return Begun(Beginning.OTHER if gone else Beginning.NOTHING)
    parent = next((position for position, one in enumerate(candidates) if one.is_parent), None)
    if parent is None and not is_parent_there and len(gone) == 1:
        (parent,) = gone  # it is none of those that are there: these have other ids
    return Begun(Beginning.OTHER if parent is None else Beginning.PREDICTION, parent)


def _is_taken_over(region_id: object, origin: object) -> bool:
    is_ours = isinstance(region_id, str) and is_marked(region_id)
    return is_ours or origin in _PREDICTED_ORIGINS
