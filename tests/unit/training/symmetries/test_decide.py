from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.unit.training.symmetries.pictures import (
    alike_left_and_right,
    cases_of,
    picture,
)
from training.symmetries import decide as module
from training.symmetries.decide import MAX_CASES, LabelledCase, decide
from training.symmetries.symmetries import SMALL_TURN, Symmetries

NAMES = ("one", "two")
SIDES = ("right disc", "left disc")


def test_alike_on_two_sides_is_not_flipped_there() -> None:
    found = decide(alike_left_and_right(12), NAMES)
    assert found.flips == (0,)
    assert found.swaps == ()
    assert found.max_turn == SMALL_TURN
    assert found.reasons[0].startswith(
        "Not flipped left to right: 'one' lies left of 'two' (in 12 of 12 groups), and they look "
        "alike (told apart by looks in "
    )


def test_left_and_right_by_name_are_exchanged() -> None:
    found = decide(alike_left_and_right(12), SIDES)
    assert found.flips == (0, 1)
    assert found.swaps == ((1, 2, 1),)
    assert found.plain_flips == (0,)
    assert found.max_turn == SMALL_TURN


def test_left_and_right_by_name_that_look_different_are_not_exchanged() -> None:
    pictures = [picture([(1, 0.5, 0.25, 120), (2, 0.5, 0.75, 220)], i) for i in range(12)]
    found = decide(cases_of(pictures), ("right ventricle", "left ventricle"))
    assert (found.flips, found.swaps, found.max_turn) == ((0,), (), SMALL_TURN)
    assert found.reasons[0] == (
        "Not flipped left to right: 'left ventricle' and 'right ventricle' are sides by name and "
        "look different (told apart by looks in 100%), so neither is the other's mirror image."
    )


def test_what_looks_different_is_flipped_though_it_keeps_its_side() -> None:
    pictures = [picture([(1, 0.5, 0.25, 120), (2, 0.5, 0.75, 220)], i) for i in range(12)]
    assert decide(cases_of(pictures), NAMES) == Symmetries()


def test_what_keeps_to_no_side_is_flipped_though_it_looks_alike() -> None:
    pictures = []
    for i in range(14):
        left, right = (1, 2) if i % 2 else (2, 1)
        pictures.append(picture([(left, 0.5, 0.25, 150), (right, 0.5, 0.75, 150)], i))
    assert decide(cases_of(pictures), NAMES) == Symmetries()
    # Names that speak of sides are believed nonetheless: nobody can say which way they flip.
    named = decide(cases_of(pictures), SIDES)
    assert named.flips == (0,)
    assert "no constant sides" in named.reasons[0]


def test_above_and_below_is_the_other_axis() -> None:
    pictures = [picture([(1, 0.25, 0.5, 150), (2, 0.75, 0.5, 150)], i) for i in range(12)]
    found = decide(cases_of(pictures), NAMES)
    assert found.flips == (1,)
    assert "upside down" in found.reasons[0]


def test_a_single_class_with_an_unlabelled_double() -> None:
    """Left lungs alone were labelled; the right one looks the same."""
    pictures = [picture([(1, 0.5, 0.25, 150), (0, 0.5, 0.75, 150)], i) for i in range(16)]
    found = decide(cases_of(pictures), ("lung",))
    assert found.flips == (0,)
    assert "not labelled on the other side" in found.reasons[0]


def test_a_single_class_on_one_side_without_a_double() -> None:
    pictures = [picture([(1, 0.5, 0.25, 150)], i) for i in range(16)]
    assert decide(cases_of(pictures), ("disc",)) == Symmetries()


def test_one_per_image_by_the_frame() -> None:
    """A breast per image: never together, each on its side of the frame."""
    pictures = [
        picture([(1, 0.5, 0.2, 150)] if i % 2 else [(2, 0.5, 0.8, 150)], i) for i in range(20)
    ]
    assert decide(cases_of(pictures), NAMES).flips == (0,)
    assert decide(cases_of(pictures), ("L", "R")).swaps == ((1, 1, 2),)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_with_few_images_sides_that_all_agree_are_kept(n: int) -> None:
    assert decide(alike_left_and_right(n), NAMES).flips == (0,)
    assert decide(alike_left_and_right(n), SIDES).swaps == ((1, 2, 1),)


def test_upright_and_lying_lines_are_flipped_and_not_turned() -> None:
    pictures = []
    for i in range(12):
        image, labels = picture([(1, 0.5, 0.5, 150)], i, radii=(24, 3))
        other, lying = picture([(2, 0.5, 0.5, 150)], 100 + i, radii=(3, 24))
        pictures.append((np.maximum(image, other), np.where(labels > 0, labels, lying)))
    found = decide(cases_of(pictures), NAMES)
    assert found.flips == (0, 1)
    assert found.max_turn == SMALL_TURN
    assert "stands where" in found.reasons[0]


def test_frames_of_one_video_prove_nothing() -> None:
    """Twelve frames are one group: too little to be sure of a side of the frame."""
    pictures = [picture([(1, 0.5, 0.25, 150), (0, 0.5, 0.75, 150)], i) for i in range(12)]
    assert decide(cases_of(pictures, ["video"] * 12), ("lung",)) == Symmetries()


def test_a_persons_word_overrules() -> None:
    cases = alike_left_and_right(12)
    assert decide(cases, NAMES, "both").flips == (0, 1)
    assert decide(cases, NAMES, "both").max_turn == 180.0
    assert decide(cases, SIDES, "off") == replace(
        decide(cases, NAMES, "off"), reasons=("Told by mirror_train: off.",)
    )
    assert decide(cases, NAMES, "horizontal").flips == (1,)
    assert decide(cases, NAMES, "vertical").flips == (0,)


def test_images_are_read_only_where_a_side_was_found_and_never_all_of_them() -> None:
    reads: list[str] = []

    def counted(name: str) -> npt.NDArray[np.uint8]:
        reads.append(name)
        return picture([(1, 0.5, 0.5, 150)], 0)[0]

    cases = [
        replace(case, image=lambda name=case.case_id: counted(name))  # type: ignore[misc]
        for case in cases_of([picture([(1, 0.5, 0.5, 150)], i) for i in range(MAX_CASES + 20)])
    ]
    assert decide(cases, ("disc",)) == Symmetries()
    assert reads == []


def test_who_is_asked_to_end_ends_between_files() -> None:
    beats: list[int] = []

    def beat() -> None:
        beats.append(1)
        if len(beats) == 5:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        decide(alike_left_and_right(12), NAMES, beat=beat)
    assert len(beats) == 5


def test_large_images_say_the_same() -> None:
    """Places are measured, and looks compared, on smaller copies."""
    large = [
        (np.kron(image, np.ones((40, 40), np.uint8)), np.kron(labels, np.ones((40, 40), np.uint8)))
        for image, labels in (
            picture([(1, 0.5, 0.25, 150), (2, 0.5, 0.75, 150)], i) for i in range(3)
        )
    ]
    assert decide(cases_of(large), NAMES).flips == (0,)


def test_cases_with_nothing_in_them_say_nothing() -> None:
    empty = cases_of([picture([], i) for i in range(10)])
    assert decide(empty, NAMES) == Symmetries()
    assert decide([*empty, *alike_left_and_right(12, 50)][::2], NAMES).flips == (0,)


def test_images_of_all_sizes() -> None:
    pictures = [
        (image[: 40 + i, :], labels[: 40 + i, :])
        for i, (image, labels) in enumerate(
            picture([(1, 0.3, 0.25, 150), (2, 0.3, 0.75, 150)], i) for i in range(12)
        )
    ]
    pictures.append((np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint8)))
    pictures.append((np.zeros((1, 2), np.uint8), np.array([[1, 2]], np.uint8)))
    assert decide(cases_of(pictures), NAMES).flips == (0,)


def test_many_look_alike_classes_take_limited_time() -> None:
    """32 teeth: 496 pairs, of which the first that is alike decides."""
    names = [f"tooth {i}" for i in range(32)]
    pictures = []
    for i in range(9):
        labels = np.zeros((64, 64), np.uint8)
        for k in range(32):
            labels[20 + 12 * (k // 16) : 28 + 12 * (k // 16), 4 * (k % 16) : 4 * (k % 16) + 3] = (
                k + 1
            )
        rng = np.random.default_rng(i)
        image = np.where(labels, 150, 60) + rng.normal(0, 8, labels.shape)
        pictures.append((image.astype(np.uint8), labels))
    found = decide(cases_of(pictures), names)
    assert found.flips == ()
    assert len(found.reasons) == 3


def test_what_is_kept_of_the_images_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [picture([(1, 0.5, 0.25, 120), (2, 0.5, 0.75, 220)], i) for i in range(12)]
    read: list[str] = []

    def counted(when: str) -> list[LabelledCase]:
        def image(case: LabelledCase) -> npt.NDArray[Any]:
            read.append(when)
            return case.image()

        return [replace(case, image=partial(image, case)) for case in cases_of(pictures)]

    expected = decide(counted("kept"), NAMES)
    # Of many colour images only some have room: the others are read again.
    monkeypatch.setattr(module, "MAX_FEATURE_BYTES", 0)
    assert decide(counted("anew"), NAMES) == expected
    assert read.count("kept") == len(pictures) < read.count("anew")


def test_what_was_not_looked_at_is_not_called_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LOOKS", 0)
    pictures = [picture([(1, 0.5, 0.25, 120), (2, 0.5, 0.75, 220)], i) for i in range(12)]
    found = decide(cases_of(pictures), NAMES)
    assert found.flips == (0,)
    assert found.reasons[0].endswith(
        "(in 12 of 12 groups), and whether they look alike was not looked at: 24 other comparisons "
        "came first."
    )


def test_with_many_classes_who_is_asked_to_end_ends_soon() -> None:
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(16):
        labels = rng.permutation(64).reshape(8, 8).repeat(8, 0).repeat(8, 1).astype(np.uint8)
        labels[labels > 40] = 0
        pictures.append((rng.integers(0, 255, labels.shape).astype(np.uint8), labels))
    beats: list[int] = []
    decide(cases_of(pictures), [f"k{i}" for i in range(40)], beat=lambda: beats.append(1))
    assert len(beats) > 400  # before each of the pairs it came to, not of the 16 images alone
