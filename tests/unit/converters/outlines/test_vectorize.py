import numpy as np
import numpy.typing as npt
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from converters.outlines.vectorize import inner_last, vectorize
from converters.painting.rasterize import polygon_to_mask, polygons_to_label_map
from domain.annotation import Region, region_id
from domain.geometry import LabelMap, Polygon
from tests.needed import real_images
from tests.unit.converters.shapes import blobs, label_maps, size_of


def painted(regions: tuple[Region, ...], size_hw: tuple[int, int]) -> LabelMap:
    return polygons_to_label_map([(r.class_index, p) for r in regions for p in r.polygons], size_hw)


def iou(a: npt.NDArray[np.bool_], b: npt.NDArray[np.bool_]) -> float:
    return float((a & b).sum() / (a | b).sum())


@pytest.mark.slow
@given(label_maps())
def test_without_simplification_the_map_comes_back_exactly(label_map: LabelMap) -> None:
    regions = vectorize(label_map, [1, 2], tolerance_px=0)
    np.testing.assert_array_equal(painted(regions, size_of(label_map)), label_map)


@pytest.mark.parametrize("seed", range(8))
def test_without_simplification_larger_maps_come_back_exactly(seed: int) -> None:
    label_map = blobs(seed, (120, 90), 3)
    regions = vectorize(label_map, [3, 1, 2], tolerance_px=0)
    np.testing.assert_array_equal(painted(regions, size_of(label_map)), label_map)


@given(label_maps(1))
def test_polygons_are_valid_and_one_per_part(label_map: LabelMap) -> None:
    regions = vectorize(label_map, [1])
    shapes = [shapely.Polygon(r.polygons[0].exterior, r.polygons[0].holes) for r in regions]
    assert all(bool(shape.is_valid) for shape in shapes)
    exact = vectorize(label_map, [1], tolerance_px=0)
    assert len(regions) == len(exact)
    total = sum(int(polygon_to_mask(r.polygons[0], size_of(label_map)).sum()) for r in exact)
    assert total == label_map.sum()  # no part overlaps another


@pytest.mark.slow
@given(label_maps(1), st.floats(0.5, 1))
def test_simplified_parts_keep_the_iou_floor_and_their_holes(
    label_map: LabelMap, iou_floor: float
) -> None:
    size = size_of(label_map)
    exact = vectorize(label_map, [1], tolerance_px=0)
    simple = vectorize(label_map, [1], tolerance_px=3, iou_floor=iou_floor)
    for a, b in zip(exact, simple, strict=True):
        p, q = a.polygons[0], b.polygons[0]
        assert iou(polygon_to_mask(p, size), polygon_to_mask(q, size)) >= iou_floor
        assert len(q.holes) == len(p.holes)
        assert q.n_vertices <= p.n_vertices


def test_holes_and_single_pixels_are_kept() -> None:
    label_map = np.zeros((40, 40), dtype=np.uint8)
    label_map[5:30, 5:30] = 1
    label_map[15:17, 15:17] = 0  # a hole of four pixels
    label_map[35, 35] = 1  # a part of one
    big, small = vectorize(label_map, [1])
    assert len(big.polygons[0].holes) == 1
    mask = painted((big, small), size_of(label_map))
    assert mask[35, 35] == 1
    assert not mask[15:17, 15:17].any()


def test_min_area_drops_parts_but_never_holes() -> None:
    label_map = np.zeros((40, 40), dtype=np.uint8)
    label_map[5:30, 5:30] = 1
    label_map[15, 15] = 0
    label_map[35, 35:38] = 1
    assert len(vectorize(label_map, [1], min_area_px=3)) == 2
    (kept,) = vectorize(label_map, [1], min_area_px=4)
    assert len(kept.polygons[0].holes) == 1


def test_the_whole_image_is_one_rectangle_along_the_border() -> None:
    (region,) = vectorize(np.ones((6, 9), dtype=np.uint8), [1], tolerance_px=0)
    corners = sorted(region.polygons[0].exterior.tolist())
    assert corners == [[0, 0], [0, 6], [9, 0], [9, 6]]


def test_empty_map_and_other_classes_give_nothing() -> None:
    assert vectorize(np.zeros((5, 5), dtype=np.uint8), [1, 2]) == ()
    assert vectorize(np.full((5, 5), 3, dtype=np.uint8), [1, 2]) == ()


def test_ids_depend_on_content_only() -> None:
    label_map = blobs(1, (60, 60), 2)
    first, second = (vectorize(label_map, [1, 2]) for _ in range(2))
    assert [r.id for r in first] == [r.id for r in second]
    assert len({r.id for r in first}) == len(first)
    polygon = first[0].polygons[0]
    assert region_id(1, polygon) != region_id(2, polygon)
    assert region_id(1, polygon) != region_id(1, Polygon(polygon.exterior + 1, polygon.holes))


def test_the_vertex_budget_holds_where_the_floor_allows() -> None:
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    wavy = 150 + ring * (100 + 4 * np.sin(25 * angles))[:, np.newaxis]
    label_map = polygon_to_mask(Polygon(wavy), (300, 300)).astype(np.uint8)
    (loose,) = vectorize(label_map, [1], iou_floor=0.9, vertex_budget=40)
    (strict,) = vectorize(label_map, [1], iou_floor=0.99, vertex_budget=40)
    assert loose.polygons[0].n_vertices <= 40 < strict.polygons[0].n_vertices
    # A budget no ring can keep ends all the same.
    vectorize(label_map, [1], iou_floor=0, vertex_budget=3)


@pytest.mark.parametrize(
    "wrong", [{"tolerance_px": -1.0}, {"iou_floor": 1.5}, {"vertex_budget": 2}]
)
def test_limits_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        vectorize(np.ones((3, 3), dtype=np.uint8), [1], **wrong)  # type: ignore[arg-type]


probability_maps = hnp.arrays(
    np.float32,
    st.tuples(st.just(3), st.integers(1, 12), st.integers(1, 12)),
    elements=st.floats(0, 1, width=32),
)


@given(probability_maps)
def test_probability_edges_hold_exactly_the_argmax(
    probabilities: npt.NDArray[np.float32],
) -> None:
    regions = vectorize(probabilities, [1, 2], tolerance_px=0)
    np.testing.assert_array_equal(
        painted(regions, size_of(probabilities)), probabilities.argmax(axis=0)
    )


def test_probability_edges_are_sub_pixel_and_scored() -> None:
    x = np.arange(20, dtype=np.float32) + 0.5
    foreground = np.clip(0.5 + (7.8 - x) * 0.1, 0, 1)  # equal to background at x = 7.8
    probabilities = np.stack([1 - foreground, foreground])[:, np.newaxis].repeat(10, axis=1)
    (region,) = vectorize(probabilities, [1])
    assert region.polygons[0].exterior[:, 0].max() == pytest.approx(7.8, abs=1e-4)
    assert region.score == pytest.approx(foreground[:8].mean(), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "max_median_vertices"), [("ultrasound", 40), ("nuclei", 25)])
def test_real_masks(folder: str, max_median_vertices: int) -> None:
    files = sorted((real_images(folder) / "masks").glob("*.png"))[:12]
    assert files
    ious, vertices = [], []
    for file in files:
        label_map = np.array(Image.open(file))
        classes = [int(c) for c in np.unique(label_map) if c]
        exact = vectorize(label_map, classes, tolerance_px=0)
        np.testing.assert_array_equal(painted(exact, size_of(label_map)), label_map)
        regions = vectorize(label_map, classes)
        back = painted(regions, size_of(label_map))
        ious += [iou(back == c, label_map == c) for c in classes]
        vertices += [r.polygons[0].n_vertices for r in regions]
    assert np.mean(ious) >= 0.99
    assert np.median(vertices) <= max_median_vertices


def test_an_inner_region_comes_after_the_one_around_it() -> None:
    label_map = np.zeros((60, 60), dtype=np.uint8)
    label_map[5:55, 5:55] = 2
    label_map[15:45, 15:45] = 1
    label_map[25:35, 25:35] = 3
    regions = vectorize(label_map, [1, 2, 3])
    assert [r.class_index for r in regions] == [1, 2, 3]
    assert [r.class_index for r in inner_last(regions)] == [2, 1, 3]
    # Open to one side, as at the image's border, it still comes first.
    clasp = label_map.copy()
    clasp[15:45, 45:] = 0
    assert [r.class_index for r in inner_last(vectorize(clasp, [1, 2, 3]))] == [2, 1, 3]


@given(label_maps())
def test_the_order_of_painting_changes_no_pixel(label_map: LabelMap) -> None:
    regions = inner_last(vectorize(label_map, [1, 2], tolerance_px=0))
    np.testing.assert_array_equal(painted(regions, size_of(label_map)), label_map)
    assert inner_last(regions) == regions


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 2), (1, 7), (7, 1), (2, 3), (3, 2)])
def test_the_smallest_maps_come_back(size_hw: tuple[int, int]) -> None:
    for seed in range(10):
        weights = np.random.default_rng(seed).random((4, *size_hw)).astype(np.float32)
        probabilities = weights / weights.sum(axis=0)
        label_map = probabilities.argmax(axis=0).astype(np.uint8)
        painted = np.zeros(size_hw, np.uint8)
        for region in vectorize(probabilities, [1, 2, 3], tolerance_px=0):
            painted[polygon_to_mask(region.polygons[0], size_hw)] = region.class_index
        np.testing.assert_array_equal(painted, label_map)
        assert len(vectorize(label_map, [1, 2, 3])) >= len(np.unique(label_map[label_map > 0]))
