"""Labelling configuration from what annotations use: for files that come without one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import quoteattr

from converters.addresses.image_address import names_an_image
from converters.addresses.pages import first_page
from converters.bookkeeping.files_report import Reasons
from converters.label_studio.config.label_config import MAX_CLASSES
from converters.label_studio.region_types import (
    LABELS_TYPE,
    PER_REGION_KEYS,
    RegionType,
    region_type_by_name,
    region_type_of_value,
)
from domain.annotation import LeftOut, Task
from domain.errors import LabelConfigError
from domain.text import shown

_COLORS = (
    "#009eff",
    "#ff9f1c",
    "#2ed573",
    "#ff5277",
    "#a578ff",
    "#ffdd57",
    "#00d2be",
    "#ec6ed6",
)
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MAX_CONTROLS = 50
_CHOICES = "choices"


def polygon_label_config(classes: Sequence[str], image_key: str = "image") -> str:
    """A labelling interface with one polygon control.

    >>> print(polygon_label_config(["lumen"]))
    <View>
      <Image name="image" value="$image" zoom="true"/>
      <PolygonLabels name="label" toName="image">
        <Label value="lumen" background="#009eff"/>
      </PolygonLabels>
    </View>
    """
    return _view(image_key, "image", [_labels_tag("PolygonLabels", "label", "image", classes)])


@dataclass(slots=True)
class _Found:
    """What the regions seen so far use."""

    controls: dict[tuple[str, str, str], None] = field(default_factory=dict)
    labels_names: dict[tuple[str, str], None] = field(default_factory=dict)
    classes: dict[str, None] = field(default_factory=dict)
    image_key: str = ""
    image_keys: dict[str, None] = field(default_factory=dict)
    choices: dict[tuple[str, str], dict[str, None]] = field(default_factory=dict)


def infer_label_config(
    tasks: Iterable[Task],
    reasons: Reasons | None = None,
    *,
    has_channels: bool = False,
    first: Sequence[str] = (),
) -> str:
    """The labelling interface that the regions of an export were drawn with.

    Classes come in order of appearance, also when several controls share them. Reads all tasks and
    keeps none.

    Args:
        tasks: All of the export.
        reasons: Why rows were no tasks; may grow while the tasks are read.
        has_channels: Whether a person named the fields of the images.
        first: Labels that go before those that appear, also where they are in no region.

    Raises:
        LabelConfigError: No task has a labelled region; the message says what was found instead.
            Or the tasks have several images, and nothing says which one the regions lie on.
    """
    found = _Found()
    reasons = Reasons() if reasons is None else reasons
    for task in tasks:
        found.image_key = found.image_key or _image_key(task.data)
        if len(found.image_keys) < _MAX_CONTROLS:
            found.image_keys |= dict.fromkeys(_image_keys(task.data))
        for annotation in task.annotations:
            for region in annotation.result:
                if isinstance(region, dict):
                    _note(region, found)
        if not found.classes:
            reasons.add(_why_none(task))
    controls = _drawing_controls(found)
    if not controls or not found.classes:
        raise LabelConfigError(
            "The export has no labelled region to infer classes from"
            + (f": {reasons}." if str(reasons) else "."),
            remedy="Give the project's labelling configuration with --label-config FILE.xml.",
        )
    classes = list(dict.fromkeys((*first, *found.classes)))
    image = controls[0][1]
    tags = []
    for name, to_name, kind in controls:
        region_type = region_type_by_name(kind)
        if to_name != image or region_type is None:
            continue
        if kind == region_type.labels_key:
            tags.append(_labels_tag(region_type.labels_tag, name, to_name, classes))
        else:
            tags.append(f"  <{region_type.tag} name={_q(name)} toName={_q(to_name)}/>")
    tags += [
        _labels_tag("Labels", name, to_name, classes)
        for name, to_name in found.labels_names
        if to_name == image
    ]
    tags += [
        _choices_tag(name, to_name, values)
        for (name, to_name), values in found.choices.items()
        if to_name == image
    ]
    key = image if image in found.image_keys else found.image_key or "image"
    if len(found.image_keys) > 1 and key not in ("image", image) and not has_channels:
        raise LabelConfigError(
            f"The tasks have several images ({', '.join(map(shown, found.image_keys))}), and "
            "nothing in the export says which of them the regions lie on.",
            remedy="Give the project's labelling configuration with --label-config FILE.xml.",
        )
    return _view(key, image, tags)


def _drawing_controls(found: _Found) -> list[tuple[str, str, str]]:
    """(name, image, type of its regions) of each control.

    JSON_MIN has no types: there a shape without a class, which one forgot, looks like one of a
    control without labels of its own.
    """
    labelled = {
        (name, to_name) for name, to_name, kind in found.controls if kind.endswith(LABELS_TYPE)
    }
    return [
        (name, to_name, kind)
        for name, to_name, kind in found.controls
        if kind.endswith(LABELS_TYPE) or (name, to_name) not in labelled
    ]


def _why_none(task: Task) -> LeftOut:
    """Why a task names no class."""
    results = [a.result for a in task.annotations if not a.was_cancelled]
    if not task.annotations:
        return LeftOut(task.id, "unlabelled", f"Task {task.id} is not labelled yet.")
    if not results:
        return LeftOut(task.id, "skipped", f"Task {task.id} was skipped by its annotator.")
    kinds = {r.get("type") or "unknown" for rs in results for r in rs if isinstance(r, dict)}
    if not kinds:
        return LeftOut(task.id, "empty", f"Task {task.id} was submitted without a region.")
    types = ", ".join(shown(kind) for kind in sorted(map(str, kinds)))
    return LeftOut(
        task.id, "no_class", f"Task {task.id} has no region with a class, only entries of {types}."
    )


def _note(region: dict[str, Any], found: _Found) -> None:
    value = region.get("value")
    if not isinstance(value, dict):
        return
    kind = region.get("type")
    if kind == _CHOICES:
        _note_choices(region, value, found)
        return
    # JSON_MIN drops the type.
    region_type = region_type_by_name(kind) if kind else region_type_of_value(value)
    if region_type is None and kind != LABELS_TYPE:
        return
    if not kind and value.keys() & PER_REGION_KEYS and not _has_labels(value, region_type):
        return  # a rating, a choice or a text about one region, which repeats where that is
    key = LABELS_TYPE if region_type is None or LABELS_TYPE in value else region_type.labels_key
    name, to_name = _name(region, "from_name", "label"), _name(region, "to_name", "image")
    if len(found.controls) + len(found.labels_names) < _MAX_CONTROLS:
        if key == LABELS_TYPE and (kind == LABELS_TYPE or not kind):
            found.labels_names[name, to_name] = None
        elif region_type is not None:
            spelling = (
                region_type.labels_key if region_type.labels_key in value else region_type.kind
            )
            found.controls[name, to_name, str(kind or spelling)] = None
    labels = value.get(key)
    for label in labels if isinstance(labels, list) else ():
        # One more than can be used, so that reading the configuration says there are too many.
        is_usable = isinstance(label, str) and label and not _NOT_XML.search(label)
        if is_usable and len(found.classes) <= MAX_CLASSES:
            found.classes[label] = None


def _note_choices(region: dict[str, Any], value: dict[str, Any], found: _Found) -> None:
    """Keeps what was chosen for a whole image; of a region the entry repeats where that is."""
    if value.keys() != {_CHOICES} or not isinstance(value[_CHOICES], list):
        return
    control = _name(region, "from_name", "rest"), _name(region, "to_name", "image")
    if control in found.choices or len(found.choices) < _MAX_CONTROLS:
        chosen = found.choices.setdefault(control, {})
        usable = (v for v in value[_CHOICES] if isinstance(v, str) and not _NOT_XML.search(v))
        chosen |= dict.fromkeys(v for v in usable if v and len(chosen) < MAX_CLASSES)


def _has_labels(value: dict[str, Any], region_type: RegionType | None) -> bool:
    return LABELS_TYPE in value or (region_type is not None and region_type.labels_key in value)


def _name(region: dict[str, Any], key: str, otherwise: str) -> str:
    name = region.get(key)
    return name if isinstance(name, str) and name and not _NOT_XML.search(name) else otherwise


def _image_keys(data: dict[str, Any]) -> list[str]:
    """The fields that hold addresses of images."""
    return [
        key
        for key, field_value in data.items()
        if isinstance(value := first_page(field_value), str)
        and key.isidentifier()
        and names_an_image(value)
    ]


def _image_key(data: dict[str, Any]) -> str:
    """The field that names an image; "" if none looks like one."""
    texts = {
        key: value
        for key, field_value in data.items()
        if isinstance(value := first_page(field_value), str) and key.isidentifier()
    }
    if "image" in texts:
        return "image"
    return next((key for key, value in texts.items() if names_an_image(value)), "")


def _labels_tag(tag: str, name: str, to_name: str, classes: Sequence[str]) -> str:
    lines = [f"  <{tag} name={_q(name)} toName={_q(to_name)}>"]
    for i, value in enumerate(classes):
        lines.append(f"    <Label value={_q(value)} background={_q(_COLORS[i % len(_COLORS)])}/>")
    return "\n".join([*lines, f"  </{tag}>"])


def _choices_tag(name: str, to_name: str, values: Iterable[str]) -> str:
    lines = [f'  <Choices name={_q(name)} toName={_q(to_name)} choice="multiple">']
    lines += [f"    <Choice value={_q(value)}/>" for value in values]
    return "\n".join([*lines, "  </Choices>"])


def _view(image_key: str, image_name: str, tags: Sequence[str]) -> str:
    image = f'  <Image name={_q(image_name)} value={_q("$" + image_key)} zoom="true"/>'
    return "\n".join(["<View>", image, *tags, "</View>"])


def _q(text: str) -> str:
    return quoteattr(text, {"\n": "&#10;", "\t": "&#9;", "\r": "&#13;"})
