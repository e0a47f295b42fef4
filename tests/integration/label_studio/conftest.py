"""A project per test, and HTTP servers that note what Label Studio sends."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from backend.label_studio import LabelStudioClient, ProjectInfo
from tests.fakes.listener import Listener, listening

LABEL_CONFIG = """<View>
  <Image name="image" value="$image"/>
  <PolygonLabels name="label" toName="image">
    <Label value="lumen"/><Label value="wall"/>
  </PolygonLabels>
</View>"""


def region(label: str = "lumen", **fields: Any) -> dict[str, Any]:
    """A triangle in Label Studio's JSON."""
    return {
        "id": "r1",
        "from_name": "label",
        "to_name": "image",
        "type": "polygonlabels",
        "original_width": 20,
        "original_height": 10,
        "image_rotation": 0,
        "value": {
            "points": [[10, 10], [60, 20], [30, 80]],
            "closed": True,
            "polygonlabels": [label],
        },
        **fields,
    }


@pytest.fixture
def project(client: LabelStudioClient) -> Iterator[ProjectInfo]:
    made = client.create_project("Integration test", LABEL_CONFIG)
    yield made
    client.delete_project(made.id)


@pytest.fixture
def listen() -> Iterator[Callable[[], Listener]]:
    """Starts listeners: each on a port of its own, answering as an ML backend unless told."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(listening())
