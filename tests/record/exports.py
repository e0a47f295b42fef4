"""What Label Studio exports of projects with regions of every kind."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from label_studio_sdk.converter.brush import encode_rle

from backend.label_studio import LabelStudioClient
from tests.record.images import HEIGHT, WIDTH, config, control, entry, polygon
from tests.record.recording import Recording

BOX = {"x": 25, "y": 25, "width": 50, "height": 50, "rotation": 0}
SQUARE = [[20, 20], [80, 20], [80, 80], [20, 80]]
KEYHOLE = [*SQUARE, [20, 20], [40, 40], [40, 60], [60, 60], [60, 40], [40, 40]]
TRIANGLE = [[1, 1], [9, 1], [9, 9]]
POLYGONS = config(control("PolygonLabels", "Lesion", "Organ"))
LABELS = config(
    '<Labels name="kind" toName="image"><Label value="Lesion"/><Label value="Organ"/></Labels>'
    '<Polygon name="shape" toName="image"/><Rectangle name="box" toName="image"/>'
    '<Choices name="sharp" toName="image" perRegion="true"><Choice value="yes"/></Choices>'
)
REPEATER = """<View><Repeater on="$images" indexFlag="{{idx}}">
<Image name="page_{{idx}}" value="$images[{{idx}}].url"/>
<RectangleLabels name="labels_{{idx}}" toName="page_{{idx}}"><Label value="Lesion"/>
</RectangleLabels></Repeater></View>"""

Result = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Sample:
    """A project: its configuration, and the results of each of its tasks (None: a skip)."""

    label_config: str
    tasks: tuple[tuple[Result | None, ...], ...]
    data: dict[str, Any] | None = None
    kinds: tuple[str, ...] = ("JSON", "JSON_MIN")


def _brush() -> Result:
    """Two discs and a ring as the SDK encodes masks: what other backends send."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(x - WIDTH / 2, y - HEIGHT / 2)
    mask = (distance < 60) | ((distance > 90) & (distance < 120)) | (np.hypot(x, y) < 40)
    rle = encode_rle(np.repeat(mask.ravel() * 255, 4).astype(int))
    value = {"format": "rle", "rle": [int(v) for v in rle], "brushlabels": ["Lesion"]}
    return [entry("brushlabels", value)]


def _labelled() -> Result:
    """The spelling with <Labels>: an entry for the shape, one for the label, one for the choice."""
    found = []
    for name, kind, region_id, shape in (
        ("shape", "polygon", "r1", {"points": SQUARE, "closed": True}),
        ("box", "rectangle", "r2", {"x": 0, "y": 0, "width": 10, "height": 10, "rotation": 0}),
    ):
        fields = {"id": region_id, "from_name": name}
        found.append(entry(kind, shape, **fields))
        label = "Lesion" if kind == "polygon" else "Organ"
        found.append(
            entry("labels", {**shape, "labels": [label]}, **fields | {"from_name": "kind"})
        )
    choice = {"points": SQUARE, "closed": True, "choices": ["yes"]}
    return [*found, entry("choices", choice, from_name="sharp")]


SAMPLES = {
    "polygons": Sample(
        POLYGONS,
        (
            (
                [
                    polygon(KEYHOLE, "Lesion", meta={"text": ["a note"]}, score=0.5),
                    polygon(TRIANGLE, "Lesion", "Organ", id="r2"),
                ],
                [polygon(SQUARE, "Organ")],
            ),
            (None,),
            ([],),
            (),
        ),
        kinds=("JSON", "JSON_MIN", "COCO"),
    ),
    "rectangles": Sample(
        config(control("RectangleLabels", "Lesion")),
        (
            ([entry("rectanglelabels", {**BOX, "rectanglelabels": ["Lesion"]})],),
            ([entry("rectanglelabels", {**BOX, "rotation": 30, "rectanglelabels": ["Lesion"]})],),
        ),
    ),
    "ellipses": Sample(
        config(control("EllipseLabels", "Lesion")),
        (
            (
                [
                    entry(
                        "ellipselabels",
                        {
                            "x": 50,
                            "y": 50,
                            "radiusX": 25,
                            "radiusY": 25,
                            "rotation": 45,
                            "ellipselabels": ["Lesion"],
                        },
                    )
                ],
            ),
        ),
    ),
    "keypoints": Sample(
        config(control("KeyPointLabels", "Lesion")),
        (
            (
                [
                    entry(
                        "keypointlabels",
                        {"x": 50, "y": 50, "width": 5, "keypointlabels": ["Lesion"]},
                    )
                ],
            ),
        ),
    ),
    "brush": Sample(config(control("BrushLabels", "Lesion")), ((_brush(),),)),
    "labels": Sample(LABELS, ((_labelled(),),)),
    # Their labels differ in a capital letter.
    "other_label": Sample(
        config(control("PolygonLabels", "lesion")), (([polygon(SQUARE, "Lesion")],),)
    ),
    "choices": Sample(
        config('<Choices name="view" toName="image"><Choice value="long"/></Choices>'),
        (([entry("choices", {"choices": ["long"]}, from_name="view")],),),
    ),
    "repeater": Sample(
        REPEATER,
        (
            (
                [
                    entry(
                        "rectanglelabels",
                        {**BOX, "rectanglelabels": ["Lesion"]},
                        from_name="labels_1",
                        to_name="page_1",
                        item_index=1,
                    )
                ],
            ),
        ),
        data={"images": [{"url": "/data/upload/p0.png"}, {"url": "/data/upload/p1.png"}]},
    ),
}


def record_exports(recording: Recording, client: LabelStudioClient) -> None:
    """Makes each sample's project by the API and exports it."""
    for name, sample in SAMPLES.items():
        project = client.create_project(name, sample.label_config)
        for number, results in enumerate(sample.tasks):
            data = sample.data or {"image": f"/data/upload/im{number}.png"}
            made = client._connection.json(
                "POST",
                f"/api/projects/{project.id}/import",
                params={"return_task_ids": "true"},
                body=[{"data": data}],
            )
            [task_id] = made["task_ids"]
            for result in results:
                client._connection.json(
                    "POST",
                    f"/api/tasks/{task_id}/annotations/",
                    body={"result": result or [], "was_cancelled": result is None},
                )
        for kind in sample.kinds:
            answer = client._connection.send(
                "GET",
                f"/api/projects/{project.id}/export",
                params={"exportType": kind, "download_all_tasks": "true"},
            )
            client._connection.check(answer, "GET", "export")
            if kind == "COCO":
                with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
                    rows = json.loads(archive.read("result.json"))
            else:
                rows = answer.json()
            body = {"label_config": sample.label_config, "rows": rows}
            recording.add(f"exports/{name}_{kind}", body)
