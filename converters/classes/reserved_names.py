"""Names in nnU-Net's dataset.json: some words mean something there."""

from __future__ import annotations

from collections.abc import Sequence

_LABELS = ("background", "ignore")
"""'background' must be 0; pixels of 'ignore' are not learned from."""

_CHANNELS = ("ct", "nonorm", "zscore", "rescale_to_0_1", "rgb_to_0_1")
"""Channel names, in any case, that choose how the intensities are scaled."""


def nnunet_labels(class_values: Sequence[str]) -> dict[str, int]:
    """The ``labels`` of a dataset.json: every class a plain one, background 0.

    A class called 'background' or 'ignore' goes by its integer and its name, as '1_background'.

    Args:
        class_values: Class names in integer order, background left out.

    >>> nnunet_labels(["ignore", "lesion"])
    {'background': 0, '1_ignore': 1, 'lesion': 2}
    """
    labels = {"background": 0}
    for integer, value in enumerate(class_values, start=1):
        name = f"{integer}_{value}" if _is_reserved(value, integer) else value
        # Another class may have that very name.
        while name in labels or (name != value and name in class_values):
            name += "_"
        labels[name] = integer
    return labels


def class_of_label(name: str, integer: int) -> str:
    """The name of the class that ``nnunet_labels`` wrote under a name."""
    own = name.removeprefix(f"{integer}_")
    if own == name:
        return name
    own = own.rstrip("_") if own.rstrip("_") in _LABELS else own
    return own if _is_reserved(own, integer) else name


def _is_reserved(value: str, integer: int) -> bool:
    """A word of nnU-Net, or a name that would be read as one that stands for such a word."""
    return value in _LABELS or class_of_label(value, integer) != value


def renamed_labels(class_values: Sequence[str]) -> dict[str, str]:
    """Class name -> the name it goes by, of those that have another one in dataset.json."""
    names = {integer: name for name, integer in nnunet_labels(class_values).items()}
    return {
        value: names[integer]
        for integer, value in enumerate(class_values, start=1)
        if names[integer] != value
    }


def nnunet_channel(name: str) -> str:
    """A channel's name that leaves the scaling of intensities to nnU-Net's default.

    >>> nnunet_channel("CT"), nnunet_channel("t1")
    ('CT image', 't1')
    """
    return f"{name} image" if name.casefold() in _CHANNELS else name
