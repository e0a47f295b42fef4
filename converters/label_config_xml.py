"""Labelling configuration from what annotations use: for files that come without one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from xml.sax.saxutils import quoteattr

from converters.label_config import MAX_CLASSES
from converters.region_types import LABELS_TYPE, region_type_by_name, region_type_of_value
from domain.annotation import Task
from domain.errors import LabelConfigError

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
_IMAGE_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif"})
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MAX_CONTROLS = 50


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


def infer_label_config(tasks: Iterable[Task]) -> str:
    """The labelling interface that the regions of an export were drawn with.

    Classes come in order of appearance, also when several controls share them. Reads all tasks and
    keeps none.

    Raises:
        LabelConfigError: No task has a labelled region.
    """
    found = _Found()
    for task in tasks:
        found.image_key = found.image_key or _image_key(task.data)
        for annotation in task.annotations:
            for region in annotation.result:
                if isinstance(region, dict):
                    _note(region, found)
    if not found.controls or not found.classes:
        raise LabelConfigError(
            "The export has no labelled region to infer classes from.",
            remedy="Give the project's labelling configuration with --label-config FILE.xml.",
        )
    classes = list(found.classes)
    image = next(iter(found.controls))[1]
    tags = []
    for name, to_name, kind in found.controls:
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
    return _view(found.image_key or "image", image, tags)


def _note(region: dict[str, Any], found: _Found) -> None:
    value = region.get("value")
    if not isinstance(value, dict):
        return
    kind = region.get("type")
    # JSON_MIN drops the type.
    region_type = region_type_by_name(kind) if kind else region_type_of_value(value)
    if region_type is None and kind != LABELS_TYPE:
        return
    key = LABELS_TYPE if region_type is None or LABELS_TYPE in value else region_type.labels_key
    name, to_name = _name(region, "from_name", "label"), _name(region, "to_name", "image")
    if len(found.controls) + len(found.labels_names) < _MAX_CONTROLS:
        if key == LABELS_TYPE and (kind == LABELS_TYPE or not kind):
            found.labels_names[name, to_name] = None
        elif region_type is not None:
            found.controls[name, to_name, str(kind or region_type.labels_key)] = None
    labels = value.get(key)
    for label in labels if isinstance(labels, list) else ():
        # One more than can be used, so that reading the configuration says there are too many.
        is_usable = isinstance(label, str) and label and not _NOT_XML.search(label)
        if is_usable and len(found.classes) <= MAX_CLASSES:
            found.classes[label] = None


def _name(region: dict[str, Any], key: str, otherwise: str) -> str:
    name = region.get(key)
    return name if isinstance(name, str) and name and not _NOT_XML.search(name) else otherwise


def _image_key(data: dict[str, Any]) -> str:
    """The field that names an image; "" if none looks like one."""
    texts = {
        key: value for key, value in data.items() if isinstance(value, str) and key.isidentifier()
    }
    if "image" in texts:
        return "image"
    for key, value in texts.items():
        path = value.partition("?")[0] if "local-files" not in value else value
        is_image = PurePosixPath(path).suffix.lower() in _IMAGE_ENDINGS
        if is_image or value.startswith("data:image/"):
            return key
    return ""


def _labels_tag(tag: str, name: str, to_name: str, classes: Sequence[str]) -> str:
    lines = [f"  <{tag} name={_q(name)} toName={_q(to_name)}>"]
    for i, value in enumerate(classes):
        lines.append(f"    <Label value={_q(value)} background={_q(_COLORS[i % len(_COLORS)])}/>")
    return "\n".join([*lines, f"  </{tag}>"])


def _view(image_key: str, image_name: str, tags: Sequence[str]) -> str:
    image = f'  <Image name={_q(image_name)} value={_q("$" + image_key)} zoom="true"/>'
    return "\n".join(["<View>", image, *tags, "</View>"])


def _q(text: str) -> str:
    return quoteattr(text, {"\n": "&#10;", "\t": "&#9;", "\r": "&#13;"})
