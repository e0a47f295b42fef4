"""Masks to polygons and back, next to OpenCV and supervision: ``python -m benchmarks.geometry``.

Every class mask of every data set goes mask -> polygons -> Label Studio JSON -> mask. The peers
are what scripts for Label Studio do: ``cv2.findContours`` and ``cv2.approxPolyDP`` at epsilon 1, 2
and 3 (outer contours only, as they call it, and with holes), and supervision's
``mask_to_polygons``; and shapely's ``coverage_simplify``, which also lets neighbours share their
border.

``vertex_ratio`` is nnloop's vertices over those that approxPolyDP with holes needs for the same
mean IoU; ``vertex_ratio_external`` the same against outer contours only, ``vertex_ratio_coverage``
against coverage_simplify. The peer's epsilon or tolerance is swept, and its vertices are
interpolated. ``seconds`` and ``seconds_coverage`` are CPU time for all label maps, polygons alone;
``vectorize_specks_s`` is that for 5,000 single pixels that touch by their corners.

``--data DIR`` takes a folder with images/ and masks/ (PNG, small integers); without it the three
sets beside the repository are used, else generated samples, and long thin trees, generated too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks import rasterize
from benchmarks.material.sets import SHARED
from benchmarks.material.thin_trees import thin_trees
from benchmarks.peers import coverage
from converters.label_studio.read import annotation_to_label_map
from converters.label_studio.write import regions_to_result
from converters.outlines.vectorize import vectorize
from domain.annotation import Annotation
from domain.geometry import LabelMap
from domain.labels import LabelClass, LabelConfig, LabelGroup

DATA_SETS = ("ultrasound", "nuclei", "glacier")
EPSILONS = (*(float(e) / 20 for e in range(32)), 2.0, 3.0, 4.0)
PEER_EPSILONS = (1.0, 2.0, 3.0)
N_GENERATED = 20
SEED = 3

Mask = npt.NDArray[np.bool_]
Drawn = tuple[int, Mask]
"""Vertices, and the mask that the polygons give back."""


@dataclass(slots=True)
class Tally:
    """IoU and vertices of one method over the class masks of a data set."""

    ious: list[float] = field(default_factory=list)
    vertices: list[int] = field(default_factory=list)

    def add(self, truth: Mask, drawn: Drawn) -> None:
        """Compares one mask with what came back."""
        n_vertices, mask = drawn
        self.ious.append(float((truth & mask).sum() / max((truth | mask).sum(), 1)))
        self.vertices.append(n_vertices)

    def figures(self) -> dict[str, float]:
        """Mean and least IoU, median vertices of a mask."""
        return {
            "iou_mean": round(statistics.fmean(self.ious), 4),
            "iou_min": round(min(self.ious), 4),
            "vertices_median": statistics.median(self.vertices),
        }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the figures as one JSON line."""
    parser = argparse.ArgumentParser(description="Masks to polygons and back.")
    parser.add_argument("--data", type=Path, help="a folder with images/ and masks/")
    data: Path | None = parser.parse_args(arguments).data
    figures: dict[str, Any] = {"datasets": {}, "peers": {}}
    for name, label_maps in data_sets(data):
        print(f"{name} ...", flush=True)
        own, peers = measure(label_maps)
        figures["datasets"][name] = own
        figures["peers"][name] = peers
    figures |= speed()
    print(json.dumps(figures))


def data_sets(folder: Path | None) -> Iterator[tuple[str, Iterator[LabelMap]]]:
    """Names and label maps, (height, width) uint8 each."""
    if folder is not None:
        yield folder.resolve().name, _read(folder)
        return
    present = [name for name in DATA_SETS if (SHARED / name / "masks").is_dir()]
    for name in present:
        yield name, _read(SHARED / name)
    if not present:
        yield "generated", _generated()
    yield "thin trees (generated)", thin_trees()


def measure(label_maps: Iterator[LabelMap]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The product's figures and the peers' on the same class masks."""
    own, exact = Tally(), Tally()
    sweeps = {mode: {e: Tally() for e in EPSILONS} for mode in (False, True)}
    roboflow = Tally()
    of_coverage = {tolerance: Tally() for tolerance in coverage.TOLERANCES}
    seconds = {"seconds": 0.0, "seconds_coverage": 0.0}
    holes_kept = parts_kept = True
    for label_map in label_maps:
        config = _config(label_map)
        back, vertices = _round_trip(label_map, config)
        exact_back, exact_vertices = _round_trip(label_map, config, tolerance_px=0.0)
        for name, taken in _timed(label_map, config).items():
            seconds[name] += taken
        _sweep_coverage(label_map, config, of_coverage)
        for label_class in config.group.classes:
            index = label_class.index
            truth = label_map == index
            own.add(truth, (vertices[index], back == index))
            exact.add(truth, (exact_vertices[index], exact_back == index))
            before, after = _parts_and_holes(truth), _parts_and_holes(back == index)
            parts_kept &= before[0] == after[0]
            holes_kept &= before[1] == after[1]
            for with_holes, sweep in sweeps.items():
                contours = _contours(truth, with_holes=with_holes)
                for epsilon, tally in sweep.items():
                    tally.add(truth, _approximated(contours, epsilon, truth.shape))
            roboflow.add(truth, _supervision(truth))
    total, mean = sum(own.vertices), statistics.fmean(own.ious)
    needed = {holes: vertices_for(mean, sweep) for holes, sweep in sweeps.items()}
    figures: dict[str, Any] = own.figures() | {
        "vertex_ratio": round(total / needed[True], 3),
        "vertex_ratio_external": round(total / needed[False], 3) if needed[False] else None,
        "vertex_ratio_coverage": round(total / vertices_for(mean, of_coverage), 3),
        **{name: round(taken, 4) for name, taken in seconds.items()},
        "holes_kept": holes_kept,
        "parts_kept": parts_kept,
        "exact_without_simplification": min(exact.ious) == 1.0,
        "class_masks": len(own.ious),
    }
    peers = {
        f"approxPolyDP_{mode}_{epsilon:g}": sweeps[with_holes][epsilon].figures()
        for with_holes, mode in ((False, "external"), (True, "holes"))
        for epsilon in PEER_EPSILONS
    }
    peers["coverage_simplify_1"] = of_coverage[1.0].figures()
    return figures, peers | {"supervision_mask_to_polygons": roboflow.figures()}


def _sweep_coverage(label_map: LabelMap, config: LabelConfig, tallies: dict[float, Tally]) -> None:
    classes, size_hw = _classes(config), (label_map.shape[0], label_map.shape[1])
    exact = coverage.outlines(label_map, classes)
    for tolerance, tally in tallies.items():
        outlines = coverage.simplified(exact, tolerance)
        back = coverage.drawn(outlines, classes, size_hw)
        for index, outline in zip(classes, outlines, strict=True):
            tally.add(label_map == index, (coverage.n_vertices(outline), back == index))


def _timed(label_map: LabelMap, config: LabelConfig) -> dict[str, float]:
    """CPU seconds that nnloop and coverage_simplify take from the label map to polygons."""
    classes = _classes(config)
    started = time.process_time()
    vectorize(label_map, classes)
    between = time.process_time()
    coverage.simplified(coverage.outlines(label_map, classes), 1.0)
    return {
        "seconds": between - started,
        "seconds_coverage": time.process_time() - between,
    }


def _classes(config: LabelConfig) -> tuple[int, ...]:
    return tuple(label_class.index for label_class in config.group.classes)


def vertices_for(iou: float, sweep: dict[float, Tally]) -> float:
    """Vertices in all that the swept method needs for a mean IoU; 0 where it never reaches it."""
    rows = sorted((statistics.fmean(t.ious), sum(t.vertices)) for t in sweep.values())
    means, totals = [r[0] for r in rows], [float(r[1]) for r in rows]
    return float(np.interp(iou, means, totals)) if iou <= means[-1] else 0.0


def speed() -> dict[str, float]:
    """Rasterizing the annotations of 214 tasks, and drawing around the label maps."""
    work = rasterize.sample()
    seconds = []
    for _ in range(rasterize.ROUNDS):
        started = time.perf_counter()
        maps = [rasterize.with_nnloop(annotation) for annotation in work]
        seconds.append(time.perf_counter() - started)
    milliseconds = []
    for label_map in maps:
        started = time.process_time()
        vectorize(label_map, (1, 2))
        milliseconds.append((time.process_time() - started) * 1000)
    specks = (np.indices((100, 100)).sum(axis=0) % 2).astype(np.uint8)
    started = time.process_time()
    vectorize(specks, (1,))
    return {
        "rasterize_214_tasks_s": round(min(seconds), 3),
        "vectorize_ms": round(statistics.median(milliseconds), 1),
        "vectorize_specks_s": round(time.process_time() - started, 2),
    }


def _read(folder: Path) -> Iterator[LabelMap]:
    files = sorted((folder / "masks").glob("*.png"))
    if not files:
        raise SystemExit(f"There is no PNG in {folder / 'masks'}.")
    for file in files:
        label_map = np.array(Image.open(file))
        if label_map.ndim != 2 or label_map.max() > np.iinfo(np.uint8).max:
            raise SystemExit(f"{file} is no mask of small integers: {label_map.shape}.")
        if label_map.any():
            yield label_map.astype(np.uint8)


def _generated() -> Iterator[LabelMap]:
    """Wavy parts with holes."""
    for annotation in rasterize.sample(N_GENERATED, SEED):
        label_map = rasterize.with_nnloop(annotation)
        yield np.where(label_map == 2, 0, label_map).astype(np.uint8)


def _config(label_map: LabelMap) -> LabelConfig:
    present = [int(i) for i in np.unique(label_map) if i]
    classes = tuple(LabelClass(i, f"class {i}") for i in present)
    return LabelConfig(LabelGroup("label", "image", "polygonlabels", classes), "image", "")


def _round_trip(
    label_map: LabelMap, config: LabelConfig, **how: Any
) -> tuple[LabelMap, dict[int, int]]:
    """The map that Label Studio's JSON gives back, and vertices per class."""
    size_hw = (label_map.shape[0], label_map.shape[1])
    regions = vectorize(label_map, [c.index for c in config.group.classes], **how)
    result = json.loads(json.dumps(regions_to_result(regions, config, size_hw)))
    back, _ = annotation_to_label_map(Annotation(1, 1, result), config, size_hw)
    vertices = {c.index: 0 for c in config.group.classes}
    for region in regions:
        vertices[region.class_index] += sum(p.n_vertices for p in region.polygons)
    return back, vertices


def _parts_and_holes(mask: Mask) -> tuple[int, int]:
    inside = np.pad(mask, 1).astype(np.uint8)
    parts = cv2.connectedComponents(inside, connectivity=8)[0] - 1
    holes = cv2.connectedComponents(1 - inside, connectivity=4)[0] - 2
    return parts, holes


def _contours(mask: Mask, *, with_holes: bool) -> list[tuple[npt.NDArray[np.int32], bool]]:
    """(contour, whether it is a hole's); a hole's runs on the pixels around it."""
    mode = cv2.RETR_CCOMP if with_holes else cv2.RETR_EXTERNAL
    found, hierarchy = cv2.findContours(mask.astype(np.uint8), mode, cv2.CHAIN_APPROX_NONE)
    if hierarchy is None:
        return []
    return [(c, bool(h[3] >= 0)) for c, h in zip(found, hierarchy[0], strict=True)]


def _approximated(
    contours: list[tuple[npt.NDArray[np.int32], bool]], epsilon: float, shape: tuple[int, ...]
) -> Drawn:
    """As OpenCV fills it: an outline belongs to its polygon, the outline of a hole does not."""
    drawn = np.zeros(shape, dtype=np.uint8)
    n_vertices = 0
    holes = []
    for contour, is_hole in contours:
        points = cv2.approxPolyDP(contour, epsilon, True)
        n_vertices += len(points)
        if is_hole:
            holes.append(points)
        else:
            cv2.fillPoly(drawn, [points], 1)
    for points in holes:
        inside = np.zeros(shape, dtype=np.uint8)
        cv2.fillPoly(inside, [points], 1)
        cv2.polylines(inside, [points], True, 0)
        drawn[inside > 0] = 0
    return n_vertices, drawn > 0


def _supervision(mask: Mask) -> Drawn:
    from supervision.detection.utils.converters import mask_to_polygons, polygon_to_mask

    drawn = np.zeros(mask.shape, dtype=np.bool_)
    polygons = mask_to_polygons(mask)
    for polygon in polygons:
        drawn |= polygon_to_mask(polygon, (mask.shape[1], mask.shape[0])) > 0
    return sum(len(p) for p in polygons), drawn


if __name__ == "__main__":
    main()
