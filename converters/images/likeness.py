"""Which images look alike: re-exports of one image, neighbouring frames of one video."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

_SIDE = 64
"""Images are compared at 64 x 64 pixels, whatever their shape."""

_WAVES = 16
"""Of these the 16 lowest frequencies along each side count, 255 without the mean."""

ALIKE_BITS = 26
"""Fingerprints that differ in so many of 255 bits are of images that look alike.

Measured: the same image as JPEG of quality 40, at half its size, brighter by 20 %, with gamma 0.7
or with 0.7 of its contrast differs in at most 24 bits (373 images of three public sets). Of the
pairs of different images in these sets 23 of 23,628 differ in 26 or less, and all of them show one
place twice: two views of one patient, one glacier at two dates.
"""

_NEAR_BITS = 100
"""Different images differ in 128 in the mean, with a deviation of 8: less says that they have
something in common."""

_BYTES = 32

_NO_WAVE = 1e-5
"""Of the strongest wave: less is what rounding leaves of none."""

_LEAST_WAVES = 96
"""The bits of fewer differ in 26 or less by chance: of 63 waves two images did in 14."""


def fingerprint(image: npt.NDArray[Any]) -> str:
    """What an image looks like, in 64 hex digits: its perceptual hash.

    One bit for each of the 255 lowest waves of its cosine transform: whether that is stronger than
    the median (Zauner 2010, *Implementation and Benchmarking of Perceptual Image Hash Functions*).

    Args:
        image: (height, width) or (height, width, channels), any type of numbers.

    Returns:
        "" for an image of one colour, and for one in which most waves are not there (it changes
        along one side alone, or is its own mirror image both ways): it looks like nothing, since
        the bits that are left would say the same of all such images.
    """
    if int(image.max()) - int(image.min()) < 2:
        return ""
    values = image.astype(np.float32)
    if values.ndim == 3 and values.shape[2] > 4:
        values = values.mean(axis=2)  # more than OpenCV takes
    # Small before grey: less work, and the same.
    small = cv2.resize(values, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    if small.ndim == 3:
        small = small.mean(axis=2)
    waves = cv2.dct(small)[:_WAVES, :_WAVES].ravel()[1:]
    strength = np.abs(waves)
    if np.count_nonzero(strength > _NO_WAVE * strength.max()) < _LEAST_WAVES:
        return ""
    bits = np.append(waves > np.median(waves), False)
    return np.packbits(bits).tobytes().hex()


def find_alike(
    prints: Mapping[str, str],
    sets: Mapping[str, str],
    new: Collection[str],
    beat: Callable[[], None] = lambda: None,
    links: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> dict[str, str]:
    """Sets of images that look alike, after some came or changed.

    Two are in one set when a chain of images links them, each alike the next. Only the new ones are
    compared with all others: beside 50,000 one takes 5 ms of a core, and all of them 5 MB.

    Args:
        prints: Image -> fingerprint, of all; "" looks like nothing.
        sets: Image -> the name of its set so far, "" for none; the new ones' do not count.
        new: Those that came or changed.
        beat: Called before each.
        links: Image -> others that look like it by other means than their fingerprints; those that
            are not among ``prints``, or look like nothing, count for nothing.

    Returns:
        Image -> the name of its set, of those that have another one than before, and of the new.
        A set is called as one of its images was when it was found.
    """
    fresh = sorted(name for name in new if prints.get(name))
    names = sorted(name for name, value in prints.items() if value and name not in set(fresh))
    n_known = len(names)
    names += fresh
    words = _words(prints[name] for name in names)
    numbers: dict[str, int] = {}
    label = np.arange(len(names))
    for k, name in enumerate(names[:n_known]):
        label[k] = numbers.setdefault(sets.get(name) or name, k)
    for k in range(n_known, len(names)):
        beat()
        # With those before it: each pair is looked at once.
        hits = np.unique(label[:k][_ones(words[:k] ^ words[k]) <= ALIKE_BITS])
        if hits.size:
            label[np.isin(label, hits)] = label[k] = hits[0]
    rows = {name: k for k, name in enumerate(names)}
    for name, others in links.items():
        linked = [rows[one] for one in (name, *others) if one in rows]
        if name in rows:
            hits = np.unique(label[linked])
            label[np.isin(label, hits)] = hits[0]
    _, inverse, counts = np.unique(label, return_inverse=True, return_counts=True)
    called: dict[int, str] = {}
    for k, name in enumerate(names[:n_known]):
        if sets.get(name):
            called.setdefault(int(inverse[k]), sets[name])
    taken = set(called.values())
    found = dict.fromkeys(new, "")
    for k, name in enumerate(names):
        number = int(inverse[k])
        if counts[number] > 1:
            if number not in called:
                called[number] = _free(name, taken)
            now = called[number]
        else:
            now = sets.get(name, "") if k < n_known else ""
        if k >= n_known or now != sets.get(name, ""):
            found[name] = now
    return found


def nearest_prints(prints: Mapping[str, str], name: str, n: int) -> list[str]:
    """The n images whose fingerprints differ least from one's, the nearest first.

    Args:
        prints: Image -> fingerprint, of all; "" looks like nothing.
        name: The image.
        n: Fewer are returned where there are not so many at most ``_NEAR_BITS`` away.
    """
    if not prints[name]:
        return []
    names = [other for other, value in prints.items() if value and other != name]
    if not names:
        return []
    bits = _ones(_words(prints[other] for other in names) ^ _words([prints[name]])[0])
    order = np.argsort(bits, kind="stable")[:n]
    return [names[k] for k in order.tolist() if bits[k] <= _NEAR_BITS]


def _words(prints: Iterable[str]) -> npt.NDArray[np.uint64]:
    values = np.frombuffer(bytes.fromhex("".join(prints)), dtype=np.uint64)
    return values.reshape(-1, _BYTES // 8)


def _free(name: str, taken: Collection[str]) -> str:
    """A name for a set: the image's, unless a set that it has left is called so."""
    while name in taken:
        name += "+"
    return name


def _ones(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """How many bits of each row are set, by sums of 2, 4 and 8 neighbours."""
    sums = words - ((words >> np.uint64(1)) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    sums = (sums & pairs) + ((sums >> np.uint64(2)) & pairs)
    sums = (sums + (sums >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    # The product's highest byte is the sum of all eight.
    rows: npt.NDArray[np.uint64] = (sums * np.uint64(0x0101010101010101) >> np.uint64(56)).sum(1)
    return rows
