"""Labelling configuration (XML) -> LabelConfig."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree.ElementTree import Element, ParseError

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from domain.errors import LabelConfigError
from domain.labels import LabelClass, LabelConfig, LabelGroup

MAX_CLASSES = 255
"""Label maps are uint8 and 0 is background."""


@dataclass(frozen=True, slots=True)
class RegionType:
    """A control tag nnloop can train on, and how its regions look in a result.

    ``name`` is the region's ``type``, and the key in its ``value`` that holds the label names.
    """

    tag: str
    name: str


REGION_TYPES = (RegionType(tag="PolygonLabels", name="polygonlabels"),)
"""Every control nnloop trains on; other controls are ignored."""

_EXAMPLE = (
    '<View><Image name="image" value="$image"/><PolygonLabels name="label" toName="image">'
    '<Label value="lesion"/></PolygonLabels></View>'
)
_PLAIN_VARIABLE = re.compile(r"\$(\w+)")


def parse_label_config(xml: str) -> LabelConfig:
    """Reads the labelling configuration of a project.

    Tags are matched in any case, at any depth, as Label Studio does. Classes are numbered 1, 2, ...
    in document order. A label's ``alias`` stands in its place: it is what Label Studio stores.

    Args:
        xml: the project's ``label_config``.

    Returns:
        The one polygon control, its image, its classes.

    Raises:
        LabelConfigError: if the text is not XML or unsafe (entities, a document type), has no
            Image object, no polygon control or more than one, a control without an image, no
            labels, or labels that are not distinct.
    """
    root = _parse(xml)
    images = {e.get("name", ""): e for e in root.iter() if _is_tag(e, "Image")}
    if not images:
        raise LabelConfigError(
            "The labelling configuration has no <Image> object.",
            remedy=f"nnloop labels images; add one, for example: {_EXAMPLE}",
        )
    control, region_type = _only_control(root)
    name = _name_of(control)
    to_name = _image_of(control, images)
    return LabelConfig(
        group=LabelGroup(
            from_name=name,
            to_name=to_name,
            region_type=region_type.name,
            classes=_classes_of(control),
        ),
        image_key=_image_key(images[to_name]),
        xml=xml,
    )


def _parse(xml: str) -> Element:
    if not xml.strip():
        raise LabelConfigError(
            "The labelling configuration is empty.",
            remedy=f"Set one in the project's settings, for example: {_EXAMPLE}",
        )
    try:
        root: Element = ElementTree.fromstring(xml, forbid_dtd=True)
    except ParseError as error:
        raise LabelConfigError(
            f"The labelling configuration is not XML: {error}.",
            remedy="Correct it in the project's settings, Labeling Interface, Code.",
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
            remedy="Correct it in the project's settings, Labeling Interface, Code.",
        ) from error
    return root


def _is_tag(element: Element, tag: str) -> bool:
    return isinstance(element.tag, str) and element.tag.lower() == tag.lower()


def _name_of(control: Element) -> str:
    name = control.get("name", "")
    if not name:
        raise LabelConfigError(
            f"A <{control.tag}> control has no name.", remedy='Give it one: name="label".'
        )
    return name


def _only_control(root: Element) -> tuple[Element, RegionType]:
    found = [
        (element, region_type)
        for element in root.iter()
        for region_type in REGION_TYPES
        if _is_tag(element, region_type.tag)
    ]
    if not found:
        raise LabelConfigError(
            "The labelling configuration has no <PolygonLabels> control.",
            remedy=f"nnloop trains on polygons; add one, for example: {_EXAMPLE}",
        )
    if len(found) > 1:
        names = ", ".join(repr(element.get("name", "")) for element, _ in found)
        raise LabelConfigError(
            f"The labelling configuration has {len(found)} polygon controls ({names}); "
            "nnloop trains on one.",
            remedy="Keep one <PolygonLabels> with all labels, or split the project.",
        )
    return found[0]


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
    value = image.get("value", "")
    match = _PLAIN_VARIABLE.fullmatch(value.strip())
    if match is None:
        raise LabelConfigError(
            f"The <Image> object {image.get('name', '')!r} has the value {value!r}, "
            "which is not one field of the task.",
            remedy='Use a task field with one image: value="$image".',
        )
    return match.group(1)


def _classes_of(control: Element) -> tuple[LabelClass, ...]:
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
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise LabelConfigError(
            f"The control {name!r} has the label {twice[0]!r} more than once.",
            remedy="Give every label a value of its own.",
        )
    if len(values) > MAX_CLASSES:
        raise LabelConfigError(
            f"The control {name!r} has {len(values)} labels; a label map holds {MAX_CLASSES}.",
            remedy="Split the project.",
        )
    return tuple(
        LabelClass(index=index, value=value, color=label.get("background", ""))
        for index, (label, value) in enumerate(zip(labels, values, strict=True), start=1)
    )
