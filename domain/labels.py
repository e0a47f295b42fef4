"""What the labelling interface lets an annotator draw: LabelConfig, LabelGroup, LabelClass."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

T = TypeVar("T")

Unlabelled = Literal["background", "ignore"]
"""What the pixels are that nobody labelled: background, or not known and therefore ignored."""


@dataclass(frozen=True, slots=True)
class LabelClass:
    """One class of a group.

    ``index`` is the integer in label maps (1, 2, ...; 0 is background). ``value`` is the name as
    Label Studio stores it in regions: the label's ``alias`` where it has one, else its ``value``.
    ``color`` is the CSS colour of the interface ("" if unset), ``alias`` the label's alias ("" if
    it has none), ``title`` the name annotators read where that is another one, else "",
    ``predicted_values`` the names under which other models know the class, ``former_values`` those
    it had before people renamed it.
    """

    index: int
    value: str
    color: str = ""
    alias: str = ""
    predicted_values: tuple[str, ...] = field(default=())
    title: str = ""
    former_values: tuple[str, ...] = field(default=())

    @property
    def names(self) -> tuple[str, ...]:
        """Every name the class answers to, the stored one first."""
        return tuple(
            dict.fromkeys(n for n in (self.value, self.title, *self.predicted_values) if n)
        )


@dataclass(frozen=True, slots=True)
class Control:
    """One control tag that draws regions.

    ``region_type`` is the ``type`` of its regions in results: ``polygonlabels`` where the control
    has labels of its own, ``polygon`` where they come from a ``<Labels>`` tag beside it;
    ``labels_name`` is that tag's name, else "" (of several the first). ``sources`` are the tags
    that give its regions labels, itself or those ``<Labels>``: (name, stored class names); empty
    where that is not known, and then it has every class. ``opens_rings`` says that the editor takes
    the last edge from its closed rings when a task is opened (vectors not told ``closable``).
    """

    name: str
    to_name: str
    region_type: str
    labels_name: str = ""
    sources: tuple[tuple[str, tuple[str, ...]], ...] = field(default=(), compare=False)
    opens_rings: bool = field(default=False, compare=False)

    def labels_name_of(self, value: str) -> str:
        """The tag that gives its regions this class, itself or a ``<Labels>``; "" for none."""
        if not self.sources:
            return self.labels_name or self.name
        return next((name for name, values in self.sources if value in values), "")


@dataclass(frozen=True, slots=True)
class LabelGroup:
    """The mutually exclusive classes drawn on one image object, by one or several controls.

    Image objects that are channels of one image count as one. ``from_name``, ``to_name`` and
    ``region_type`` are those of the control that predictions go out by. ``controls`` are all of
    them in document order; without any it is that one. ``dropped_values`` are former names whose
    regions count as nothing: a person said so.

    Two labels are no classes: pixels of ``ignore_label`` are not known, those of
    ``background_label`` are background. ``unlabelled`` says what pixels without any label are,
    ``unlabelled_choice`` is the choice by which annotators say that they are ignored.
    """

    from_name: str
    to_name: str
    region_type: str
    classes: tuple[LabelClass, ...]
    controls: tuple[Control, ...] = field(default=())
    dropped_values: tuple[str, ...] = field(default=())
    ignore_label: LabelClass | None = None
    background_label: LabelClass | None = None
    unlabelled: Unlabelled = "background"
    unlabelled_choice: str = ""

    def __post_init__(self) -> None:
        if not self.controls:
            only = Control(self.from_name, self.to_name, self.region_type)
            object.__setattr__(self, "controls", (only,))

    @property
    def to_names(self) -> tuple[str, ...]:
        """The image objects that its controls draw on.

        A tuple: what an export names may be anything, also what can't be hashed.
        """
        return tuple(dict.fromkeys(control.to_name for control in self.controls))

    @property
    def labels(self) -> tuple[LabelClass, ...]:
        """All that annotators can draw: the classes, then the labels that are none."""
        others = (self.ignore_label, self.background_label)
        return (*self.classes, *(label for label in others if label is not None))

    @property
    def label_values(self) -> tuple[str, ...]:
        """The names of all that annotators can draw."""
        return tuple(label.value for label in self.labels)

    @property
    def ignore_index(self) -> int:
        """The integer of ignored pixels in label maps: nnU-Net's, one above the highest class."""
        return len(self.classes) + 1

    @property
    def has_ignore(self) -> bool:
        """Whether label maps may hold ignored pixels."""
        is_asked = self.unlabelled == "ignore" or bool(self.unlabelled_choice)
        return self.ignore_label is not None or is_asked

    def class_by_value(self, value: str) -> LabelClass | None:
        """The class an annotator's label name stands for, or None if the group lacks it.

        The stored name goes before the titles of other classes, both before former names. Labels
        that are no classes are found too.
        """
        return (
            next((c for c in self.labels if c.value == value), None)
            or next((c for c in self.labels if c.title and c.title == value), None)
            or next((c for c in self.labels if value in c.former_values), None)
        )

    def class_by_index(self, index: int) -> LabelClass:
        """The class, or label that is none, with this integer; KeyError if there is none."""
        for label_class in self.labels:
            if label_class.index == index:
                return label_class
        raise KeyError(index)

    def control_by_name(self, name: str) -> Control | None:
        """The drawing control with this name, or None."""
        return next((c for c in self.controls if c.name == name), None)


@dataclass(frozen=True, slots=True)
class LabelConfig:
    """A parsed labelling configuration.

    ``group`` is what nnloop trains on; ``image_key`` the task data field that holds the image
    (``image`` for ``value="$image"``), of several channels the first; ``xml`` the source text;
    ``image_names`` the names of all image objects, the trained one (``group.to_name``) among them;
    ``channel_keys`` the task data fields of all channels in order, empty for a single image.
    """

    group: LabelGroup
    image_key: str
    xml: str
    image_names: tuple[str, ...] = field(default=())
    channel_keys: tuple[str, ...] = field(default=())

    @property
    def image_keys(self) -> tuple[str, ...]:
        """The task data fields of the channels in order; of a single image its own."""
        return self.channel_keys or (self.image_key,)

    @property
    def class_values(self) -> tuple[str, ...]:
        """Class names in integer order, background left out."""
        return tuple(c.value for c in self.group.classes)


DROPPED = ""
"""In a LabelMapping: regions of that name count as nothing."""


@dataclass(frozen=True, slots=True)
class LabelNames:
    """A LabelMapping beside the names that an interface has now.

    ``mapping`` is {old name: new name, or ``DROPPED``}. A name that the interface has is itself,
    whatever the mapping says; others are followed from name to name.
    """

    mapping: Mapping[str, str] = field(default_factory=dict)
    present: Collection[str] = field(default=())

    def now(self, name: str) -> str:
        """What a class is called now; ``DROPPED`` for one that is left out.

        >>> LabelNames({"a": "b", "b": "c"}, ("c",)).now("a")
        'c'
        """
        seen: set[str] = set()
        while name not in self.present and name in self.mapping and name not in seen:
            seen.add(name)
            name = self.mapping[name]
        return name

    def current_names(self, names: Iterable[str]) -> tuple[str, ...]:
        """What classes are called now, in the same order; one left out keeps its own name."""
        return tuple(self.now(name) or name for name in names)

    def renamed(self, values: Mapping[str, T]) -> dict[str, T]:
        """Values by class, under the present names; unchanged where two classes became one."""
        names = self.current_names(values)
        if len(set(names)) < len(names):
            return dict(values)
        return dict(zip(names, values.values(), strict=True))

    def reused(self, older: Mapping[str, str]) -> frozenset[str]:
        """Names that were renamed since an older mapping, and are labels of the interface again.

        Whoever knew them by the older mapping means another class by them. Where the class that
        was renamed has no label of its own, it may have its name back.

        >>> sorted(LabelNames({"a": "b"}, ("a", "b")).reused({}))
        ['a']
        """
        return frozenset(
            name
            for name, new in self.mapping.items()
            if name in self.present
            and older.get(name) != new
            and self.now(new) in self.present
            and self.now(new) != name
        )

    def agrees_with(self, older: LabelNames) -> bool:
        """Whether an older mapping read no name as another class than this one does.

        A rename told of since then is no other class; one left out since then is.
        """
        return all(
            (older.now(name) == DROPPED) == (self.now(name) == DROPPED)
            and self.now(older.now(name)) == self.now(name)
            for name in {*self.mapping, *older.mapping}
        )

    def applied_to(self, config: LabelConfig) -> LabelConfig:
        """The interface, its classes answering to their former names too."""
        former: dict[str, list[str]] = {}
        for name in self.mapping:
            if name not in self.present:
                former.setdefault(self.now(name), []).append(name)
        classes = tuple(
            replace(c, former_values=tuple(former.get(c.value, ()))) for c in config.group.classes
        )
        dropped = tuple(former.get(DROPPED, ()))
        return replace(config, group=replace(config.group, classes=classes, dropped_values=dropped))
