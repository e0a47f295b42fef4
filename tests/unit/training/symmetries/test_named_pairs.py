from __future__ import annotations

import pytest

from training.symmetries.named_pairs import named_pairs


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["left lung", "right lung"], ((1, 2),)),
        (["Right Lung", "heart", "Left Lung"], ((3, 1),)),
        (["lung_L", "lung_R"], ((1, 2),)),
        (["LungLeft", "LungRight"], ((1, 2),)),
        (["L", "R"], ((1, 2),)),
        (["linke Niere", "rechte Niere", "Leber"], ((1, 2),)),
        (["poumon gauche", "poumon droit"], ((1, 2),)),
        (["riñón izquierdo", "riñón derecho"], ((1, 2),)),
        (["left lung", "right lung", "left kidney", "right kidney"], ((1, 2), (3, 4))),
        # The side alone differs, or they are no pair.
        (["left lung", "right kidney"], ()),
        (["left lung"], ()),
        (["left over", "over"], ()),
        (["nerve", "vessel"], ()),
        (["lesion", "resion"], ()),
        (["left left", "left right", "right right"], ((1, 2),)),
        ([], ()),
    ],
)
def test_pairs_are_told_by_the_word_for_the_side(
    names: list[str], pairs: tuple[tuple[int, int], ...]
) -> None:
    assert named_pairs(names) == pairs
