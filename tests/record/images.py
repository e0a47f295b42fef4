"""Generated images, and regions on them in Label Studio's JSON."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw

WIDTH, HEIGHT = 640, 480
_ORIENTATION = 0x0112
"""EXIF's tag; 6 = the camera was held on its side."""


def image(number: int) -> tuple[str, bytes]:
    """Name and PNG of a grey image with a bright disc."""
    picture = Image.new("L", (WIDTH, HEIGHT), 60 + 10 * number)
    ImageDraw.Draw(picture).ellipse((200, 120, 440, 360), fill=180)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return f"im{number}.png", buffer.getvalue()


def sideways_image() -> tuple[str, bytes]:
    """Name and JPEG of an image stored as 640 x 480 (width x height) and shown as 480 x 640."""
    exif = Image.Exif()
    exif[_ORIENTATION] = 6
    buffer = io.BytesIO()
    Image.new("L", (WIDTH, HEIGHT), 90).save(buffer, "JPEG", exif=exif)
    return "im_sideways.jpg", buffer.getvalue()


def polygon(points: Sequence[Sequence[float]], *labels: str, **fields: Any) -> dict[str, Any]:
    """A polygon of the control ``label``; points in percent."""
    value = {
        "points": [list(point) for point in points],
        "closed": True,
        "polygonlabels": list(labels),
    }
    return entry("polygonlabels", value, **fields)


def entry(kind: str, value: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """An entry of a result, on the object ``image``."""
    return {
        "id": "r1",
        "from_name": "label",
        "to_name": "image",
        "type": kind,
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": value,
        **fields,
    }


def config(*controls: str, attributes: str = "") -> str:
    """A labelling configuration: one image, with more attributes if given, and these controls."""
    return f'<View><Image name="image" value="$image"{attributes}/>{"".join(controls)}</View>'


def control(tag: str, *labels: str, attributes: str = "") -> str:
    """A control with labels, named ``label``."""
    inside = "".join(f'<Label value="{value}"/>' for value in labels)
    return f'<{tag} name="label" toName="image"{attributes}>{inside}</{tag}>'
