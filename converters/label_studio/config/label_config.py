"""Labelling configuration (XML) -> LabelConfig."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from converters.label_studio.config.controls import preference
from converters.label_studio.region_types import LABELS_TAG, REGION_TYPES, RegionType
from domain.errors import LabelConfigError
from domain.labels import Control, LabelClass, LabelConfig, LabelGroup

MAX_CLASSES = 255
"""Label maps are uint8 and 0 is background."""

_EXAMPLE = (
    '<View><Image name="image" value="$image"/><PolygonLabels name="label" toName="image">'
    '<Label value="lesion"/></PolygonLabels></View>'
)
_PLAIN_VARIABLE = re.compile(r"\$(\w+)")


@dataclass(frozen=True, slots=True)
class _Tag:
    """A tag that draws regions (``region_type``) or only gives them labels (None)."""

    element: Element
    region_type: RegionType | None
    has_labels: bool


def parse_label_config(
    xml: str, image: str | None = None, channels: Sequence[str] = ()
) -> LabelConfig:
    """Reads the labelling configuration of a project.

    Tags are matched in any case, at any depth, as Label Studio does. Several drawing controls of
    one image make one group: their classes are matched by name and numbered 1, 2, ... in document
    order. ``<Polygon>``, ``<Brush>``, ... count where a ``<Labels>`` tag of the same image gives
    them classes. A label's ``alias`` stands in its place: it is what Label Studio stores.

    Args:
        xml: the project's ``label_config``.
        image: name of the image object to train on; None: that of the first drawing control.
        channels: task data fields (or names of image objects) that are stacked as channels in this
            order; what is drawn on any of them counts. Empty: a single image.

    Returns:
        The drawing controls of one image, that image, the classes; of several channels, the
        controls of all of them. Predictions go out by the first control of the type that stands
        first in ``REGION_TYPES`` (polygons before all), a class it lacks by one that has it.

    Raises:
        LabelConfigError: if the text is not XML or unsafe (entities, a document type), has no
            Image object, no drawing control, a control without a name or an image, no labels,
            labels that are not distinct within a control, not the image asked for, or channels
            that repeat a field or that nothing draws on.
    """
    root = _parse(xml)
    images = {e.get("name", ""): e for e in root.iter() if _is_tag(e, "Image")}
    if not images:
        raise LabelConfigError(
            "The labelling configuration has no <Image> object.",
            remedy=f"nnloop labels images; add one, for example: {_EXAMPLE}",
        )
    if image is not None and image not in images:
        raise LabelConfigError(
            f"The labelling configuration has no image object {image!r}.",
            remedy=f"Choose one of {', '.join(map(repr, images))}.",
        )
    keys = _channel_keys(images, channels)
    if keys:
        wanted = {name for name, e in images.items() if _variable(e) in keys}
        if not wanted:
            raise LabelConfigError(
                f"No <Image> object shows one of the channels {', '.join(map(repr, keys))}.",
                remedy="Name task data fields that the labelling interface shows in the setting "
                "`channels`.",
            )
        tags = _drawing_tags(root, images, wanted)
    else:
        tags = _drawing_tags(root, images, None if image is None else {image})
        to_name = _image_of(tags[0].element, images)
        tags = [tag for tag in tags if _image_of(tag.element, images) == to_name]
    controls = _controls(tags, images)
    output = min(controls, key=lambda c: preference(c.region_type))
    return LabelConfig(
        group=LabelGroup(
            from_name=output.name,
            to_name=output.to_name,
            region_type=output.region_type,
            classes=_classes(tags),
            controls=controls,
        ),
        image_key=keys[0] if keys else _image_key(images[output.to_name]),
        xml=xml,
        image_names=tuple(images),
        channel_keys=keys if len(keys) > 1 else (),
    )


def _parse(xml: str) -> Element:
    if not xml.strip():
        raise LabelConfigError(
            "The labelling configuration is empty.",
            remedy=f"Set one, for example: {_EXAMPLE}",
        )
    try:
        root: Element = ElementTree.fromstring(xml, forbid_dtd=True)
    except ParseError as error:
        raise LabelConfigError(
            f"The labelling configuration is not XML: {error}.",
            remedy="Correct it; in Label Studio: Settings, Labeling Interface, Code.",
        ) from error
    except DefusedXmlException as error:
        raise LabelConfigError(
            "The labelling configuration declares a document type or entities, "
            "which nnloop refuses because they can exhaust memory.",
            remedy="Remove the <!DOCTYPE ...> part; Label Studio does not need it.",
        ) from error
    except ValueError as error:  # an encoding declaration that does not match, a null byte
        raise LabelConfigError(
            f"The labelling configuration can't be read: {error}.",
            remedy="Correct it; in Label Studio: Settings, Labeling Interface, Code.",
        ) from error
    return root


def _is_tag(element: Element, tag: str) -> bool:
    return isinstance(element.tag, str) and element.tag.lower() == tag.lower()


def _drawing_tags(root: Element, images: dict[str, Element], wanted: set[str] | None) -> list[_Tag]:
    """Drawing controls and the ``<Labels>`` of images (None: of all), in document order.

    At least one draws.
    """
    found = [tag for element in root.iter() for tag in _tags_of(element)]
    # <Labels> also labels text, and a <Rectangle> without <Labels> has no classes: both are other
    # people's controls.
    labelled = {t.element.get("toName", "") for t in found if t.region_type is None}
    bare = {t.element.get("toName", "") for t in found if t.region_type and not t.has_labels}
    tags = [
        tag
        for tag in found
        if (tag.region_type and tag.has_labels)
        or tag.element.get("toName", "") in images.keys() & labelled & bare
    ]
    if wanted is not None:
        tags = [tag for tag in tags if tag.element.get("toName", "") in wanted]
    if not tags:
        names = " or ".join(map(repr, sorted(wanted or ())))
        where = f" for the image {names}" if names else ""
        raise LabelConfigError(
            f"The labelling configuration has no <PolygonLabels> control{where}, nor another one "
            "that draws labelled regions.",
            remedy=f"nnloop trains on drawn regions; add one, for example: {_EXAMPLE}",
        )
    return tags


def _tags_of(element: Element) -> list[_Tag]:
    if _is_tag(element, LABELS_TAG):
        return [_Tag(element, None, has_labels=True)]
    return [
        _Tag(element, region_type, has_labels)
        for region_type in REGION_TYPES
        for tag, has_labels in ((region_type.labels_tag, True), (region_type.tag, False))
        if _is_tag(element, tag)
    ]


def _controls(tags: list[_Tag], images: dict[str, Element]) -> tuple[Control, ...]:
    labels: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for tag in tags:
        if tag.region_type is None:
            labels.setdefault(_image_of(tag.element, images), []).append(_source(tag.element))
    controls = []
    for tag in tags:
        if tag.region_type is None:
            continue
        to_name = _image_of(tag.element, images)
        sources = [_source(tag.element)] if tag.has_labels else labels.get(to_name, [])
        controls.append(
            Control(
                name=_name_of(tag.element),
                to_name=to_name,
                region_type=tag.region_type.labels_key if tag.has_labels else tag.region_type.kind,
                labels_name="" if tag.has_labels or not sources else sources[0][0],
                sources=tuple(sources),
                opens_rings=tag.region_type.kind == "vector" and not _is_closable(tag.element),
            )
        )
    return tuple(controls)


def _is_closable(element: Element) -> bool:
    values = [value for name, value in element.items() if name.lower() == "closable"]
    return "".join(values).strip().lower() == "true"


def _source(element: Element) -> tuple[str, tuple[str, ...]]:
    """Name of a tag with labels, and the names it stores."""
    return _name_of(element), tuple(_labels_of(element))


def _name_of(control: Element) -> str:
    name = control.get("name", "")
    if not name:
        raise LabelConfigError(
            f"A <{control.tag}> control has no name.", remedy='Give it one: name="label".'
        )
    return name


def _image_of(control: Element, images: dict[str, Element]) -> str:
    to_name = control.get("toName", "")
    if to_name not in images:
        known = ", ".join(repr(name) for name in images)
        raise LabelConfigError(
            f"The control {_name_of(control)!r} points to {to_name!r}, which is no <Image> object.",
            remedy=f"Set its toName to the name of an image: {known}.",
        )
    return to_name


def _image_key(image: Element) -> str:
    key = _variable(image)
    if not key:
        raise LabelConfigError(
            f"The <Image> object {image.get('name', '')!r} has the value "
            f"{_value_of(image)!r}, which is not one field of the task.",
            remedy='Use a task field with one image: value="$image".',
        )
    return key


def _variable(image: Element) -> str:
    """The task data field of an image; "" where it is not one field."""
    match = _PLAIN_VARIABLE.fullmatch(_value_of(image).strip())
    return match.group(1) if match else ""


def _value_of(image: Element) -> str:
    """What an image shows; ``valueList`` where it shows the pages of a list."""
    value = image.get("value", "")
    if value:
        return value
    # Label Studio reads attributes in any case.
    return next((v for key, v in image.items() if key.lower() == "valuelist"), "")


def _channel_keys(images: dict[str, Element], channels: Sequence[str]) -> tuple[str, ...]:
    """Task data fields of the channels; an image object's name stands for its field."""
    shown = {_variable(image) for image in images.values()}
    keys = tuple(
        _image_key(images[name]) if name in images and name not in shown else name
        for name in channels
    )
    twice = [key for key, times in Counter(keys).items() if times > 1]
    if twice:
        raise LabelConfigError(
            f"The channels {', '.join(map(repr, channels))} name the field {twice[0]!r} twice.",
            remedy="Name every image once in the setting `channels`.",
        )
    return keys


def _classes(tags: list[_Tag]) -> tuple[LabelClass, ...]:
    """The classes of all tags; one that several name is one class, as its first tag has it."""
    first: dict[str, Element] = {}
    for tag in tags:
        if tag.has_labels:
            for value, label in _labels_of(tag.element).items():
                first.setdefault(value, label)
    if len(first) > MAX_CLASSES:
        raise LabelConfigError(
            f"The labelling configuration has {len(first)} labels; a label map holds "
            f"{MAX_CLASSES}.",
            remedy="Split the project.",
        )
    return tuple(
        LabelClass(
            index=index,
            value=value,
            color=label.get("background", ""),
            alias=label.get("alias", ""),
            predicted_values=tuple(
                name.strip()
                for name in label.get("predicted_values", "").split(",")
                if name.strip()
            ),
            title=label.get("value", "") if label.get("alias", "") else "",
        )
        for index, (value, label) in enumerate(first.items(), start=1)
    )


def _labels_of(control: Element) -> dict[str, Element]:
    """Stored name -> label of one control."""
    labels = [e for e in control.iter() if _is_tag(e, "Label")]
    values = [label.get("alias", "") or label.get("value", "") for label in labels]
    name = _name_of(control)
    if not values:
        raise LabelConfigError(
            f"The control {name!r} has no <Label>.",
            remedy='Add the classes to it: <Label value="lesion"/>. Labels that come from task '
            "data can't be trained on.",
        )
    if "" in values:
        raise LabelConfigError(
            f"Label {values.index('') + 1} of the control {name!r} has no value.",
            remedy='Give it one: <Label value="lesion"/>.',
        )
    twice = sorted(value for value, times in Counter(values).items() if times > 1)
    if twice:
        raise LabelConfigError(
            f"The control {name!r} has the label {twice[0]!r} more than once.",
            remedy="Give every label a value of its own.",
        )
    return dict(zip(values, labels, strict=True))
