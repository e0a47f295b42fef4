"""Annotations of which nothing is left: never taken for empty ones."""

from __future__ import annotations

from collections.abc import Sequence

from converters.pages import OTHER_PAGE
from domain.annotation import Annotation, LeftOut
from domain.errors import AnnotationError

LOST = frozenset({"degenerate_polygon", "empty_region", "outside_image", "no_shape"})
"""Reasons for which a region becomes nothing though a person drew something."""


def require_some(
    annotation: Annotation, shapes: Sequence[object], notes: Sequence[LeftOut]
) -> None:
    """Refuses an annotation whose regions all became nothing.

    Empty, it would teach background where a person drew something.

    Args:
        annotation: What was read.
        shapes: What its regions became.
        notes: What was left out of it, and why.

    Raises:
        AnnotationError: Reason ``regions_lost``.
    """
    lost = next((note for note in notes if note.reason in LOST), None)
    if shapes or lost is None:
        return
    raise AnnotationError(
        annotation.task_id,
        "regions_lost",
        f"annotation {annotation.id} has regions, but none that covers a pixel: "
        f"{lost.message[:1].lower()}{lost.message[1:]}",
        remedy="Draw them again; if nothing is to be seen, delete them and submit.",
    )


def require_first_page(
    annotation: Annotation, shapes: Sequence[object], notes: Sequence[LeftOut]
) -> None:
    """Refuses an annotation whose regions all lie on other pages: nothing is known of the first.

    Raises:
        AnnotationError: Reason ``other_page``.
    """
    if shapes or not any(note.reason == OTHER_PAGE for note in notes):
        return
    raise AnnotationError(
        annotation.task_id,
        OTHER_PAGE,
        f"all regions of annotation {annotation.id} lie on other pages than the first.",
        remedy="Make a task of each page. (JSON_MIN loses the pages: export as JSON.)",
    )
