"""Files of other tools, read as `nnloop import` reads them, down to Label Studio's regions."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from converters.classes.matching import match_classes
from converters.images.pixel_spacing import spacing_from
from converters.imports.formats import format_by_name
from converters.imports.scores import read_scores, score_of_prediction
from converters.imports.source import ImportedImage, ImportOptions
from converters.imports.tasks import said_of
from converters.label_studio.config.inferred_config import polygon_label_config
from converters.label_studio.config.label_config import parse_label_config
from converters.masks.coco_rle import encode_rle
from converters.outlines.limits import Simplification
from domain.annotation import LeftOut
from domain.errors import NnloopError
from domain.labels import LabelConfig
from tests.fuzzing import scratch, small
from tests.fuzzing.target import Target, parsed
from tests.fuzzing.targets.label_studio import GOLDEN

_MOST_PIXELS = 64 * 64
"""Larger images are not drawn: what is looked for is what is read."""


@cache
def _config() -> LabelConfig:
    return parse_label_config(polygon_label_config(["lumen", "wall"]))


def _read(data: bytes, format_name: str, name: str, beside: dict[str, bytes]) -> None:
    with scratch.folder() as folder:
        for other, content in beside.items():
            scratch.written(folder / other, content)
        path = scratch.written(folder / name, data)
        format_ = format_by_name(format_name)
        source = path if format_.is_file else folder
        for entry in format_.entries(source, ImportOptions()):
            if isinstance(entry, LeftOut):
                entry.in_full.encode()
            else:
                _use(entry)


def _use(image: ImportedImage) -> None:
    for note in image.notes:
        note.in_full.encode()
    Path(image.file_name)
    image.class_names, image.used_names  # noqa: B018
    size_hw = image.size_hw or (48, 64)
    if size_hw[0] * size_hw[1] > _MOST_PIXELS or image.said is not None:
        return
    known = match_classes(image.class_names, _config().group, {})
    try:
        result, notes = said_of(
            image, _config(), size_hw, Simplification(), known, empty_as_negative=True
        )
    except NnloopError as error:
        error.in_full.encode()
        return
    json.dumps(result, allow_nan=False)
    for note in notes:
        note.in_full.encode()


_RING = [4, 4, 40, 5, 30, 40]
_PAIRS = [[4, 4], [40, 5], [30, 40]]


def _coco() -> bytes:
    rows = [
        {"segmentation": [_RING], "bbox": [4, 4, 36, 36], "category_id": 1},
        {"segmentation": encode_rle(small.classes() == 1), "category_id": 2},
        {"segmentation": [], "bbox": [1, 1, 9, 9], "category_id": 2},
    ]
    return small.packed_json(
        {
            "images": [
                {"id": 1, "file_name": "a.png", "height": 48, "width": 64},
                {"id": 2, "file_name": "b/c.png", "height": small.HEIGHT, "width": small.WIDTH},
            ],
            "annotations": [
                {"id": i, "image_id": 1 + i % 2, "iscrowd": 0, **row} for i, row in enumerate(rows)
            ],
            "categories": [{"id": 1, "name": "lumen"}, {"id": 2, "name": "wall"}],
        }
    )


def _via() -> bytes:
    shapes = [
        {"name": "polygon", "all_points_x": [4, 40, 30], "all_points_y": [4, 5, 40]},
        {"name": "rect", "x": 1, "y": 2, "width": 10, "height": 9},
        {"name": "circle", "cx": 20, "cy": 20, "r": 5},
        {"name": "ellipse", "cx": 20, "cy": 20, "rx": 9, "ry": 5, "theta": 0.3},
    ]
    regions = [{"shape_attributes": s, "region_attributes": {"type": "lumen"}} for s in shapes]
    image = {"filename": "a.png", "size": 100, "regions": regions, "file_attributes": {}}
    return small.packed_json({"a.png100": image})


def _labelme() -> bytes:
    import base64

    mask = base64.b64encode(small.picture(small.classes() == 1, "PNG")).decode()
    corners = [[0, 0], [small.WIDTH - 1, small.HEIGHT - 1]]
    shapes = [
        {"label": "lumen", "points": _PAIRS, "shape_type": "polygon", "group_id": 1},
        {"label": "wall", "points": _PAIRS[:2], "shape_type": "rectangle"},
        {"label": "wall", "points": _PAIRS[:2], "shape_type": "circle"},
        {"label": "wall", "points": corners, "shape_type": "mask", "mask": mask},
    ]
    size = {"imageHeight": 48, "imageWidth": 64}
    return small.packed_json({"version": "5.5.0", "imagePath": "a.png", "shapes": shapes, **size})


_CVAT = b"""<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<image id="0" name="a.png" width="64" height="48">
<polygon label="lumen" points="4,4;40,5;30,40" z_order="1"/>
<box label="wall" xtl="1" ytl="2" xbr="20" ybr="30" rotation="10.5" z_order="0"/>
<ellipse label="wall" cx="20" cy="20" rx="9" ry="5" rotation="30"/>
<mask label="lumen" rle="3, 5, 2, 10" left="4" top="5" width="5" height="4"/>
<tag label="good"/>
</image></annotations>"""

_VOC = b"""<annotation><folder>x</folder><filename>a.png</filename>
<size><width>64</width><height>48</height><depth>1</depth></size>
<object><name>lumen</name><bndbox><xmin>4</xmin><ymin>5</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>
<object><name>wall</name><polygon><x1>4</x1><y1>4</y1><x2>40</x2><y2>5</y2><x3>30</x3><y3>40</y3></polygon></object>
<object><name>wall</name><robndbox><cx>20</cx><cy>20</cy><w>9</w><h>5</h><angle>0.3</angle></robndbox></object>
</annotation>"""

_YOLO = b"0 0.5 0.5 0.2 0.3\n1 0.1 0.1 0.6 0.1 0.4 0.8\n1 0.1 0.1 0.6 0.1 0.4 0.8 0.9\n"
_YAML = (
    b"path: .\ntrain: images\nnames:\n  0: lumen  # inner\n  1: 'wall'\n",
    b'names: [lumen, "wall"]\nnc: 2\n',
    b"names: {0: lumen, 1: wall}\nkpt_shape: [3, 2]\n",
)
_SCORES = b"image,score\na.png,0.5\nb/c.png,1\nscan.nii.gz,0.25\n"


def _scores(data: bytes) -> None:
    with scratch.folder() as folder:
        table = read_scores(scratch.written(folder / "scores.csv", data))
        for name in ("a.png", "b/c.png", "x"):
            table.of(ImportedImage(1, name, "", name, None), None)


def _format(name: str, file: str, seeds: tuple[bytes, ...], **beside: bytes) -> Target:
    others = {key.replace("__", "/").replace("_DOT_", "."): value for key, value in beside.items()}
    format_name = name.partition("_")[0].replace("export", "label-studio")
    return Target(
        f"import_{name}",
        lambda: list(seeds),
        lambda data: _read(data, format_name, file, others),
        most_mib=1000,
    )


TARGETS = (
    _format("coco", "a.json", (_coco(),)),
    _format("via", "via.json", (_via(), b'{"_via_img_metadata": ' + _via() + b"}")),
    _format("labelme", "a.json", (_labelme(),)),
    _format("cvat", "annotations.xml", (_CVAT,)),
    _format("voc", "Annotations/a.xml", (_VOC,)),
    _format("yolo", "labels/a.txt", (_YOLO,), data_DOT_yaml=_YAML[0]),
    _format("yolo_yaml", "data.yaml", _YAML, labels__a_DOT_txt=_YOLO),
    _format(
        "export",
        "tasks.json",
        tuple(path.read_bytes() for path in sorted(GOLDEN.glob("exports/polygons_JSON*.json"))),
    ),
    Target("scores_csv", lambda: [_SCORES, _SCORES.replace(b",", b";")], _scores),
    Target(
        "prediction_score",
        lambda: [small.packed_json({"score": 0.5, "result": [{"score": 0.2}]})],
        lambda data: score_of_prediction(_object(data)),
        allowed=(),
    ),
    Target(
        "spacing",
        lambda: [b"0.1", b"[0.1, 0.2]", b'"0.1\\\\0.2"'],
        lambda data: spacing_from(parsed(data)),
        allowed=(ValueError,),
    ),
)


def _object(data: bytes) -> dict[str, object]:
    value = parsed(data)
    return value if isinstance(value, dict) else {}
