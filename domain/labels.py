"""What the labelling interface lets an annotator draw: LabelConfig, LabelGroup, LabelClass."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LabelClass:
    """One class of a group.

    ``index`` is the integer in label maps (1, 2, ...; 0 is background). ``value`` is the name as
    Label Studio stores it in regions; ``color`` the CSS colour of the interface ("" if unset).
    """

    index: int
    value: str
    color: str = ""


@dataclass(frozen=True, slots=True)
class LabelGroup:
    """One control tag: mutually exclusive classes drawn on one image object.

    ``from_name`` is the control's name, ``to_name`` the image object's, ``region_type`` the
    ``type`` of its regions in results (``polygonlabels``).
    """

    from_name: str
    to_name: str
    region_type: str
    classes: tuple[LabelClass, ...]

    def class_by_value(self, value: str) -> LabelClass | None:
        """The class an annotator's label name stands for, or None if the group lacks it."""
        return next((c for c in self.classes if c.value == value), None)

    def class_by_index(self, index: int) -> LabelClass:
        """The class with this integer; KeyError if there is none."""
        for label_class in self.classes:
            if label_class.index == index:
                return label_class
        raise KeyError(index)


@dataclass(frozen=True, slots=True)
class LabelConfig:
    """A parsed labelling configuration.

    ``group`` is the polygon control nnloop trains on; ``image_key`` the task data field that
    holds the image (``image`` for ``value="$image"``); ``xml`` the source text.
    """

    group: LabelGroup
    image_key: str
    xml: str

    @property
    def class_values(self) -> tuple[str, ...]:
        """Class names in integer order, background left out."""
        return tuple(c.value for c in self.group.classes)
