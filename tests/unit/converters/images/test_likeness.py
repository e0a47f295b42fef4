from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.images.likeness import ALIKE_BITS, find_alike, fingerprint, nearest_prints


def picture(seed: int, side: int = 200) -> npt.NDArray[np.uint8]:
    """Soft blobs: as images have them, most of their waves are long."""
    noise = np.random.default_rng(seed).normal(size=(side, side)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), side / 16)
    return np.asarray(128 + 60 * soft / soft.std(), np.float32).clip(0, 255).astype(np.uint8)


def apart(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> int:
    prints = [int(fingerprint(image), 16) for image in (first, second)]
    return (prints[0] ^ prints[1]).bit_count()


def _jpeg(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.uint8)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_picture_exported_otherwise_looks_alike(seed: int) -> None:
    image = picture(seed)
    brighter = (image.astype(np.float32) * 0.8 + 30).astype(np.uint8)
    for other in (
        _jpeg(image),
        cv2.resize(image, None, fx=0.5, fy=0.7, interpolation=cv2.INTER_AREA),
        brighter,
        np.repeat(image[:, :, None], 3, axis=2),
        np.repeat(image[:, :, None], 6, axis=2),
        image.astype(np.uint16) * 257,
    ):
        assert apart(image, np.asarray(other)) <= ALIKE_BITS
    assert apart(image, picture(seed + 100)) > 3 * ALIKE_BITS


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 500), (40, 40, 3)])
def test_images_of_one_colour_look_like_nothing(shape: tuple[int, ...]) -> None:
    assert fingerprint(np.full(shape, 7, np.uint8)) == ""
    assert find_alike({"a": "", "b": ""}, {}, ["a", "b"]) == {"a": "", "b": ""}


def test_the_smallest_images_have_a_fingerprint() -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, 4)).astype(np.uint8)
    assert len(fingerprint(image)) == 64


@pytest.mark.parametrize("seed", range(3))
def test_images_without_most_waves_are_not_all_alike(seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 256, (64, 64)).astype(np.uint8)
    stripes = np.tile(values[0], (200, 1))
    quarters = np.vstack([values, values[::-1]])
    quarters = np.hstack([quarters, quarters[:, ::-1]])
    for image in (stripes, stripes.T, stripes[:1], quarters):
        assert fingerprint(image) == ""
    # Half of the waves are enough.
    assert len(fingerprint(np.hstack([values, values[:, ::-1]]))) == 64


def _print(bits: int) -> str:
    return f"{bits:064x}"


# Runs of bits from one end: neighbours are alike, far ones are not.
LINE = {f"i{k}": _print((1 << 20 * k) - 1) for k in range(8)}


def _partition(sets: dict[str, str]) -> set[frozenset[str]]:
    found: dict[str, set[str]] = {}
    for name, one in sets.items():
        if one:
            found.setdefault(one, set()).add(name)
    return {frozenset(names) for names in found.values()}


@given(st.permutations(sorted(LINE)), st.lists(st.integers(0, 8), max_size=3))
def test_sets_do_not_depend_on_the_order_in_which_images_come(
    order: list[str], cuts: list[int]
) -> None:
    names = [name for name in order if name not in {"i3"}]
    sets: dict[str, str] = {}
    there: dict[str, str] = {}
    bounds = [0, *sorted(cuts), len(names)]
    for start, end in itertools.pairwise(bounds):
        new = names[start:end]
        there |= {name: LINE[name] for name in new}
        sets |= find_alike(there, sets, new)
    # The chain is broken where i3 is missing, and whole with it.
    assert _partition(sets) == {
        frozenset({"i0", "i1", "i2"}),
        frozenset({"i4", "i5", "i6", "i7"}),
    }
    sets |= find_alike(LINE, sets, ["i3"])
    assert _partition(sets) == {frozenset(LINE)}


def test_an_image_that_changed_leaves_its_set_and_one_left_alone_is_none() -> None:
    sets = find_alike({"a": _print(1), "b": _print(3)}, {}, ["a", "b"])
    assert sets == {"a": "a", "b": "a"}
    far = _print((1 << 200) - 1)
    sets |= find_alike({"a": _print(1), "b": far}, sets, ["b"])
    assert sets["b"] == ""


def test_an_image_that_changed_takes_no_other_into_the_set_that_has_its_name() -> None:
    far = _print((1 << 200) - 1)
    prints = {"a": far, "b": _print(1), "c": _print(1), "d": far}
    # b and c were one set with a, before a became another image.
    found = find_alike(prints, {"b": "a", "c": "a"}, ["a", "d"])
    assert found["a"] == found["d"] not in ("", "a")
    assert _partition({"b": "a", "c": "a"} | found) == {frozenset("ad"), frozenset("bc")}


def test_links_join_whatever_fingerprints_say() -> None:
    prints = {name: fingerprint(picture(k)) for k, name in enumerate("abcdef")}
    assert find_alike(prints, {}, list("abcdef")) == dict.fromkeys("abcdef", "")
    found = find_alike(prints, {}, list("abcdef"), links={"a": ["c"], "d": ["c", "x"], "f": []})
    assert {name for name, value in found.items() if value} == {"a", "c", "d"}
    assert len({found[name] for name in "acd"}) == 1
    # Sets that are known merge when something links them, and keep one of their names.
    known = {"a": "a", "b": "a", "c": "c", "d": "c", "e": "", "f": ""}
    assert find_alike(prints, known, [], links={"d": ["b"]}) in (
        {"c": "a", "d": "a"},
        {"a": "c", "b": "c"},
    )
    assert find_alike(prints, known, [], links={"e": ["f"]}) == {"e": "e", "f": "e"}
    # What looks like nothing is linked with nothing.
    assert find_alike({**prints, "g": ""}, {}, ["g"], links={"g": ["a"]}) == {"g": ""}


def test_the_nearest_are_those_with_something_in_common() -> None:
    prints = {f"other{k}": fingerprint(picture(k)) for k in range(5)}
    image = picture(9)
    prints |= {"image": fingerprint(image), "jpeg": fingerprint(_jpeg(image)), "none": ""}
    prints["moved"] = fingerprint(image[:, 6:])
    assert nearest_prints(prints, "image", 3) == ["jpeg", "moved"]
    assert nearest_prints(prints, "image", 1) == ["jpeg"]
    assert nearest_prints(prints, "none", 3) == []
    assert nearest_prints({"image": prints["image"]}, "image", 3) == []
