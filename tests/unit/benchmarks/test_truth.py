"""The independent reader against analytic shapes, and that nothing slips past the comparison."""

from __future__ import annotations

import ast
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from benchmarks.truth import brush, compare, drawing, reader, regions, scenes, session
from benchmarks.truth.compare import Gallery, Seen, training_findings
from benchmarks.truth.scenes import SIZE_HW, Scene
from benchmarks.truth.state import State

PRODUCT = {"backend", "active_learning", "training", "converters", "domain", "label_studio_sdk"}
OTHER_SIDE = ("reader", "drawing", "brush", "scenes", "regions", "compare", "people", "files")
NAMES = ("disc", "square")
FOLDER = Path(drawing.__file__).parent


def entry(kind: str, value: Mapping[str, Any], label: str = "disc", **fields: Any) -> Any:
    """A region on an image of 20 x 10 pixels (width, height)."""
    labels = {f"{kind}labels": [label]}
    return {"id": "a", "type": f"{kind}labels", "value": {**value, **labels}, **fields}


def box(left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    """A polygon in percent from pixels of an image of 20 x 10."""
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return {"points": [[x * 5, y * 10] for x, y in corners]}


def task(*annotations: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": 7,
        "data": {"image": "/data/upload/1/a-scene-00001.png"},
        "annotations": annotations,
    }


def annotation(result: Sequence[Any], number: int = 1, **fields: Any) -> dict[str, Any]:
    moment = f"2026-01-01T00:00:{number:02d}Z"
    return {"id": number, "result": result, "was_cancelled": False, "updated_at": moment, **fields}


def drawn(*entries: Any, mapping: Mapping[str, str] | None = None) -> Any:
    """The label map of one annotation on an image of 20 x 10 pixels."""
    truth = reader.read(task(), annotation(entries), NAMES, mapping or {}, (10, 20))
    return None if truth is None else truth.label_map


@pytest.mark.parametrize("name", OTHER_SIDE)
def test_the_other_side_of_the_check_imports_nothing_of_the_product(name: str) -> None:
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    found = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    found |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not {module.partition(".")[0] for module in found} & PRODUCT
    own = {m.rpartition(".")[2] for m in found if m.startswith("benchmarks")}
    assert own <= set(OTHER_SIDE)


def test_a_pixel_belongs_to_a_polygon_when_its_centre_does() -> None:
    label_map = drawn(entry("polygon", box(2.4, 3.6, 7.6, 8.4)))
    expected = np.zeros((10, 20), np.uint8)
    expected[4:8, 2:8] = 1
    np.testing.assert_array_equal(label_map, expected)


def test_what_lies_beyond_the_image_is_cut_off_and_no_corner_moves() -> None:
    # The edge x = -10 + 2 y: clipped corners would tilt it.
    triangle = {"points": [[-50, 0], [50, 0], [50, 100]]}
    label_map = drawn(entry("polygon", triangle))
    y, x = np.mgrid[:10, :20] + 0.5
    np.testing.assert_array_equal(label_map == 1, (x < 10) & (x > -10 + 2 * y))
    assert not drawn(entry("polygon", box(21.2, 1, 30, 5))).any()


def test_a_keyhole_has_a_hole_and_a_twice_covered_part_is_outside() -> None:
    outer = np.array([[2.3, 1.2], [17.8, 1.2], [17.8, 8.7], [2.3, 8.7]])
    inner = np.array([[6.4, 3.3], [12.6, 3.3], [12.6, 6.6], [6.4, 6.6]])
    ring = regions.keyhole(outer, inner) * [5, 10]
    label_map = drawn(entry("polygon", {"points": ring.tolist()}))
    expected = np.zeros((10, 20), np.uint8)
    expected[1:9, 2:18] = 1
    expected[3:7, 6:13] = 0
    np.testing.assert_array_equal(label_map, expected)


def test_a_rectangle_turns_about_its_corner_clockwise_in_pixels() -> None:
    value = {"x": 50, "y": 10.1, "width": 20, "height": 20, "rotation": 90}
    # 4 x 2 pixels at (10, 1.01): turned, it lies left of its corner, 2 wide and 4 high.
    label_map = drawn(entry("rectangle", value))
    expected = np.zeros((10, 20), np.uint8)
    expected[1:5, 8:10] = 1
    np.testing.assert_array_equal(label_map, expected)
    value["rotation"] = 0
    assert np.argwhere(drawn(entry("rectangle", value))).tolist()[0] == [1, 10]


def test_an_ellipse_by_its_equation() -> None:
    value = {"x": 50, "y": 50, "radiusX": 30.1, "radiusY": 20.1, "rotation": 0}
    y, x = np.mgrid[:10, :20] + 0.5
    expected = ((x - 10) / 6.02) ** 2 + ((y - 5) / 2.01) ** 2 <= 1
    np.testing.assert_array_equal(drawn(entry("ellipse", value)) == 1, expected)
    value["rotation"] = 90
    expected = ((x - 10) / 2.01) ** 2 + ((y - 5) / 6.02) ** 2 <= 1
    np.testing.assert_array_equal(drawn(entry("ellipse", value)) == 1, expected)


def test_brush_strokes_come_back_and_are_what_the_editor_writes() -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((10, 20)) < 0.5
    np.testing.assert_array_equal(brush.decode(brush.encode(mask), (10, 20)), mask)
    whole = np.ones((300, 400), dtype=np.bool_)
    assert brush.decode(brush.encode(whole), whole.shape).all()
    sdk = pytest.importorskip("label_studio_sdk.converter.brush")
    theirs = sdk.decode_rle(brush.encode(mask)).reshape(10, 20, 4)[..., 3] > 127
    np.testing.assert_array_equal(theirs, mask)
    ours = brush.decode(sdk.encode_rle(np.repeat(mask.ravel() * 255, 4).astype(int)), (10, 20))
    np.testing.assert_array_equal(ours, mask)


def test_a_hand_lies_over_a_prediction_and_among_equals_the_later_wins() -> None:
    large, small = box(2.2, 1.2, 15.2, 8.2), box(5.2, 2.2, 9.2, 6.2)
    left = entry("polygon", large, "square", origin="prediction")
    changed = entry("polygon", small, "disc", origin="prediction-changed")
    new = entry("polygon", small, "disc", origin="manual")
    for hand in (changed, new):
        assert drawn(hand, left)[4, 7] == 1
        assert drawn(left, hand)[4, 7] == 1
    assert drawn({**changed, "origin": "prediction"}, left)[4, 7] == 2
    assert drawn(new, entry("polygon", large, "square"))[4, 7] == 2


def test_labels_stand_in_an_entry_of_their_own() -> None:
    value = box(2.2, 1.2, 15.2, 8.2)
    shape = {"id": "a", "type": "polygon", "value": value}
    label = {"id": "a", "type": "labels", "value": {**value, "labels": ["square"]}}
    assert drawn(shape, label)[4, 7] == 2
    assert drawn(label, shape)[4, 7] == 2


def test_a_label_that_is_gone_leaves_the_task_out_unless_it_was_renamed() -> None:
    gone = entry("polygon", box(2.2, 1.2, 15.2, 8.2), "circle")
    kept = entry("polygon", box(2.2, 1.2, 15.2, 8.2), "square")
    assert drawn(gone) is None
    assert drawn(kept, gone) is None
    assert drawn(gone, mapping={"circle": "ring", "ring": "disc"})[4, 7] == 1
    # A label that exists is meant, whatever was renamed to something else once.
    assert drawn(kept, mapping={"square": "disc"})[4, 7] == 2
    # Two that were renamed into each other end.
    assert drawn(gone, mapping={"circle": "ring", "ring": "circle"}) is None


def test_the_newest_submitted_annotation_counts() -> None:
    old, new = annotation([], 1), annotation([], 2)
    skip = annotation([], 3, was_cancelled=True)
    assert reader.newest([new, old, skip]) is new
    assert reader.newest([skip]) is None
    assert reader.newest([{**old, "updated_at": "2027-01-01T00:00:00Z"}, new])["id"] == 1  # type: ignore[index]


def image_file(format_: str, *, orientation: int = 6, **options: Any) -> bytes:
    """20 x 10 pixels that a tag asks to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    Image.new("L", (20, 10)).save(stream, format_, exif=exif, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "size_hw"),
    [
        (image_file("JPEG"), (20, 10)),
        (image_file("PNG"), (20, 10)),
        (image_file("JPEG", orientation=3), (10, 20)),
        (image_file("WEBP"), (10, 20)),  # browsers do not look at it there
    ],
    ids=["jpeg", "png", "half a turn", "webp"],
)
def test_images_are_turned_as_browsers_turn_them(data: bytes, size_hw: tuple[int, int]) -> None:
    assert reader.shown_size(data) == size_hw


def test_an_orientation_in_xmp_turns_nothing() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_itxt(
        "XML:com.adobe.xmp",
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>',
    )
    stream = io.BytesIO()
    Image.new("L", (20, 10)).save(stream, "PNG", pnginfo=text)
    assert reader.shown_size(stream.getvalue()) == (10, 20)


def truth_of(*entries: Any) -> reader.Truth:
    found = reader.read(task(), annotation(entries), NAMES, {}, (10, 20))
    assert found is not None
    return found


def figures(truths: Sequence[reader.Truth], seen: Mapping[int, Seen]) -> dict[str, int]:
    found = training_findings(truths, seen)
    return {kind: sum(f.count for f in found if f.kind == kind) for kind in {f.kind for f in found}}


def test_equal_views_have_no_finding_whatever_the_order_of_the_classes() -> None:
    truth = truth_of(entry("polygon", box(2.2, 1.2, 7.2, 8.2)))
    assert figures([truth], {7: Seen(truth.label_map, NAMES)}) == {}
    other = np.where(truth.label_map == 1, 2, 0).astype(np.uint8)
    assert figures([truth], {7: Seen(other, NAMES[::-1])}) == {}
    assert figures([truth], {7: Seen(other, NAMES)}) == {"differing_pixels": 35}


def test_missing_and_surplus_tasks_count_their_foreground_and_one_at_least() -> None:
    truth, empty = truth_of(entry("polygon", box(2.2, 1.2, 7.2, 8.2))), truth_of()
    assert figures([truth], {}) == {"differing_pixels": 35}
    assert figures([empty], {}) == {"differing_pixels": 1}
    assert figures([], {7: Seen(truth.label_map, NAMES)}) == {"differing_pixels": 35}


def test_an_empty_case_that_nobody_submitted_empty_is_a_false_negative() -> None:
    truth, empty = truth_of(entry("polygon", box(2.2, 1.2, 7.2, 8.2))), truth_of()
    nothing = Seen(np.zeros((10, 20), np.uint8), NAMES)
    assert figures([empty], {7: nothing}) == {}
    assert figures([truth], {7: nothing}) == {"differing_pixels": 35, "false_negatives_made": 1}
    assert figures([], {7: nothing}) == {"differing_pixels": 1, "false_negatives_made": 1}


def test_a_turned_label_map_differs_everywhere() -> None:
    truth = truth_of(entry("polygon", box(2.2, 1.2, 7.2, 8.2)))
    turned = Seen(np.zeros((20, 10), np.uint8), NAMES)
    assert figures([truth], {7: turned})["differing_pixels"] == 200


def test_a_centre_on_an_outline_may_belong_to_either_side() -> None:
    truth = truth_of(entry("polygon", box(2.5, 1.5, 7.5, 8.5)))
    wider, wrong = truth.label_map.copy(), truth.label_map.copy()
    wider[1:9, 2:8] = 1
    assert np.count_nonzero(wider != truth.label_map)
    assert figures([truth], {7: Seen(wider, NAMES)}) == {}
    wrong[4, 4] = 0
    assert figures([truth], {7: Seen(wrong, NAMES)}) == {"differing_pixels": 1}


def test_a_prediction_is_stale_when_it_fits_another_image_better() -> None:
    gallery, numbers = Gallery(8), range(40)
    for number in range(10):
        own, other = Scene(number, 8).truth, Scene(number + 10, 8).truth
        assert gallery.stale(own, number, [number + 10], numbers) is None
        assert gallery.stale(other, number, [number + 10], numbers) == number + 10
        assert gallery.stale(other, number, [], numbers) == number + 10
        # Half of it found says little, but nothing of another image.
        half = np.where(own == 2, own, 0).astype(np.uint8)
        assert gallery.stale(half, number, [number + 10], numbers) is None


def test_a_prediction_is_drawn_by_what_its_labels_stood_for() -> None:
    found = compare.drawn_prediction(
        task(),
        [regions.as_polygon("ring", Scene(1, 8).rings[0], np.random.default_rng(0), "prediction")],
        {"disc": "disc", "ring": "disc", "square": "square"},
    )
    assert found is not None
    np.testing.assert_array_equal(found == 1, Scene(1, 8).truth == 1)
    assert found.max() == 1
    assert compare.drawn_prediction(task(), [], {"disc": "disc"}) is None


def test_scenes_are_all_of_one_shown_size_and_come_back_from_their_numbers() -> None:
    for number in range(24):
        scene = Scene(number, 8)
        assert reader.shown_size(scene.file) == SIZE_HW
        assert scenes.number_of(f"/data/upload/3/0123abcd-{scene.name}") == number
        assert set(np.unique(scene.truth)) == {0, 1, 2}
    assert scene.file == Scene(23, 8).file
    assert {Scene(n, 8).name.rpartition(".")[2] for n in range(24)} == {"png", "jpg", "webp"}
    assert scenes.number_of("/data/upload/3/cat.png") is None
    assert [Scene(n, 8).is_nested for n in range(4)] == [False, True, False, True]


@pytest.mark.parametrize("style", regions.STYLES)
def test_every_style_draws_both_classes(style: str) -> None:
    for number in range(8):
        rng = np.random.default_rng(number)
        result = regions.drawn(style, Scene(number, 8).rings, NAMES, rng)
        truth = reader.read(task(), annotation(result), NAMES, {}, SIZE_HW)
        assert truth is not None
        assert set(np.unique(truth.label_map)) - {0}


def test_a_correction_changes_one_polygon_and_says_so() -> None:
    rng = np.random.default_rng(0)
    result = regions.drawn("polygons", Scene(3, 8).rings, NAMES, rng)
    changed = regions.corrected(result, rng)
    # As the editor leaves it: the origin does not tell which was changed.
    assert [e["origin"] for e in changed] == ["prediction", "prediction"]
    assert [e.get("meta") for e in changed].count(regions.CHANGED) == 1
    [(old, new)] = [
        (a, b) for a, b in zip(result, changed, strict=True) if b.get("meta") == regions.CHANGED
    ]
    spans = [np.ptp(np.array(e["value"]["points"]), axis=0) for e in (old, new)]
    np.testing.assert_allclose(spans[1], 1.2503 * spans[0])


def test_the_deck_comes_round_and_depends_on_the_seed() -> None:
    n = sum(session.DECK.values())
    first = [session.kind_of(8, i) for i in range(n)]
    assert {kind: first.count(kind) for kind in session.DECK} == session.DECK
    assert first == [session.kind_of(8, i) for i in range(n)]
    assert first != [session.kind_of(9, i) for i in range(n)]
    assert first != [session.kind_of(8, n + i) for i in range(n)]


def test_a_session_is_kept_and_not_taken_for_another(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    state = State.load(path, 8)
    state.show(3, 17)
    state.mapping["disc"] = "ring"
    state.save(path)
    assert State.load(path, 8) == state
    with pytest.raises(ValueError, match="seed 8, not 9"):
        State.load(path, 9)


def test_a_class_that_is_gone_is_drawn_as_another() -> None:
    state = State(8)
    state.labels = ["square"]
    assert (state.current("disc"), state.current("square")) == ("square", "square")
    state.labels = ["square", "ring", "extra3"]
    state.class_of["ring"] = "disc"
    assert (state.current("disc"), state.current("square")) == ("ring", "square")
