"""Polygons to label maps and back, next to OpenCV: ``python -m benchmarks.rasterize``.

The work is that of a small project: 214 tasks of 662 x 464 pixels, each with two polygons of 100
points in Label Studio's percent. The peer is what most scripts do with an export: points rounded to
whole pixels and ``cv2.fillPoly``, which also fills the pixels that the outline only touches.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from converters.label_studio.read import annotation_to_label_map
from converters.outlines.vectorize import vectorize
from domain.annotation import Annotation
from domain.geometry import LabelMap
from domain.labels import LabelClass, LabelConfig, LabelGroup

N_TASKS = 214
SIZE_HW = (464, 662)
N_POINTS = 100
ROUNDS = 3
SEED = 2

CONFIG = LabelConfig(
    group=LabelGroup(
        from_name="label",
        to_name="image",
        region_type="polygonlabels",
        classes=(LabelClass(1, "wall"), LabelClass(2, "lumen")),
    ),
    image_key="image",
    xml="",
)


def sample(n_tasks: int = N_TASKS, seed: int = SEED) -> list[Annotation]:
    """Annotations of a wavy outline with a smaller one inside; the same for the same seed."""
    rng = np.random.default_rng(seed)
    return [
        Annotation(id=task_id, task_id=task_id, result=_two_regions(rng))
        for task_id in range(1, n_tasks + 1)
    ]


def with_opencv(annotation: Annotation) -> LabelMap:
    """The usual script: percent to pixels, rounded, filled. (height, width) uint8."""
    height, width = SIZE_HW
    label_map: LabelMap = np.zeros(SIZE_HW, dtype=np.uint8)
    index_of = {label.value: label.index for label in CONFIG.group.classes}
    for region in annotation.result:
        points = np.asarray(region["value"]["points"]) / 100 * (width, height)
        whole = np.round(points).astype(np.int32)
        cv2.fillPoly(label_map, [whole], index_of[region["value"]["polygonlabels"][0]])
    return label_map


def with_nnloop(annotation: Annotation) -> LabelMap:
    """The product's own way. (height, width) uint8."""
    label_map, left_out = annotation_to_label_map(annotation, CONFIG, SIZE_HW)
    if left_out:
        raise RuntimeError(f"The benchmark's own regions were left out: {left_out}.")
    return label_map


def main() -> None:
    """Measures, and prints the figures as one JSON line."""
    work = sample()
    exact, exact_s = _timed(lambda: [with_nnloop(annotation) for annotation in work])
    rounded, opencv_s = _timed(lambda: [with_opencv(annotation) for annotation in work])
    differing = np.mean([np.mean(a != b) for a, b in zip(exact, rounded, strict=True)])

    milliseconds, vertices = [], []
    for label_map in exact:
        started = time.perf_counter()
        regions = vectorize(label_map, (1, 2))
        milliseconds.append((time.perf_counter() - started) * 1000)
        vertices += [polygon.n_vertices for region in regions for polygon in region.polygons]

    figures = {
        "rasterize_214_tasks_s": round(exact_s, 3),
        "opencv_s": round(opencv_s, 3),
        "pixels_differing_share": round(float(differing), 5),
        "vectorize_median_ms": round(statistics.median(milliseconds), 1),
        "vectorize_median_vertices": statistics.median(vertices),
    }
    print(json.dumps(figures))


def _timed(work: Callable[[], list[LabelMap]]) -> tuple[list[LabelMap], float]:
    """The result and the shortest of a few times: other programs share the cores."""
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - started)
    return result, min(seconds)


def _two_regions(rng: np.random.Generator) -> list[dict[str, Any]]:
    centre = rng.uniform((0.35, 0.35), (0.65, 0.65)) * (SIZE_HW[1], SIZE_HW[0])
    radius = rng.uniform(60, 150)
    angles = np.linspace(0, 2 * np.pi, N_POINTS, endpoint=False)
    waves = rng.integers(3, 9) * angles + rng.uniform(0, 2 * np.pi)
    radii = radius * (1 + 0.08 * np.sin(waves))
    circle = np.column_stack([np.cos(angles), np.sin(angles)])
    return [
        _region(name, centre + scale * radii[:, None] * circle)
        for name, scale in (("wall", 1.0), ("lumen", 0.7))
    ]


def _region(name: str, points_xy: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, Any]:
    height, width = SIZE_HW
    return {
        "id": name,
        "type": "polygonlabels",
        "from_name": CONFIG.group.from_name,
        "to_name": CONFIG.group.to_name,
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "points": (points_xy / (width, height) * 100).tolist(),
            "polygonlabels": [name],
            "closed": True,
        },
    }


if __name__ == "__main__":
    main()
