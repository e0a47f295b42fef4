import math
from typing import Any

import numpy as np
import pytest
from label_studio_sdk.converter.brush import encode_rle

from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.corrections import Change, changes_between
from converters.label_studio.predicted import as_predicted, is_marked, label_of, labels_by_id
from converters.label_studio.read import annotation_to_label_map, annotation_to_shapes
from converters.label_studio.regions.read_settings import ReadSettings
from converters.label_studio.write import regions_to_result
from domain.annotation import Annotation, Region
from domain.geometry import LabelMap, Polygon
from domain.labels import LabelConfig
from tests.unit.converters.configs import CONFIG

SIZE_HW = (30, 40)
KINDS = ("Polygon", "Brush", "Bitmask", "Rectangle", "Ellipse", "Vector", "KeyPoint")


def box(left: float, top: float, right: float, bottom: float) -> Polygon:
    return Polygon(
        np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=np.float64)
    )


LUMEN, WALL = Region("", 1, (box(5, 5, 15, 15),)), Region("", 2, (box(15, 5, 25, 15),))


def config_of(tag: str, *, apart: bool = False) -> LabelConfig:
    labels = '<Label value="lumen"/><Label value="wall"/>'
    control = f'<{tag}Labels name="c" toName="image">{labels}</{tag}Labels>'
    if apart:
        control = (
            f'<{tag} name="c" toName="image"/><Labels name="n" toName="image">{labels}</Labels>'
        )
    return parse_label_config(f'<View><Image name="image" value="$image"/>{control}</View>')


def label_map_of(
    result: list[dict[str, Any]], config: LabelConfig = CONFIG, **more: Any
) -> LabelMap:
    return annotation_to_label_map(Annotation(5, 7, result), config, SIZE_HW, **more)[0]


def moved(entry: dict[str, Any], right: float) -> dict[str, Any]:
    """The polygon with its two right corners moved, in percent; nothing else of it is new."""
    points = [[x + right * (x == max(p[0] for p in entry["value"]["points"])), y]
              for x, y in entry["value"]["points"]]  # fmt: skip
    return entry | {"value": entry["value"] | {"points": points}}


def submitted(*regions: Region) -> list[dict[str, Any]]:
    """What an annotation made from a prediction holds when nothing was done to it."""
    return [e | {"origin": "prediction"} for e in regions_to_result(regions, CONFIG, SIZE_HW)]


def test_an_enlarged_region_lies_over_its_untouched_neighbour_whatever_the_origin() -> None:
    lumen, wall = submitted(LUMEN, WALL)
    assert (label_map_of([lumen, wall]) == 2).sum() == 100
    for origin in ("prediction", "prediction-changed"):  # the editor leaves polygons the former
        larger = moved(lumen, 10) | {"origin": origin}
        assert (label_map_of([larger, wall]) == 1).sum() == 140
        assert (label_map_of([wall, larger]) == 1).sum() == 140


def test_a_region_left_as_predicted_yields_also_where_it_comes_later_or_has_priority() -> None:
    lumen, wall = submitted(LUMEN, WALL)
    on_top = ReadSettings(priority=("wall",))
    assert (label_map_of([moved(lumen, 10), wall], settings=on_top) == 1).sum() == 140
    # Both changed: equals again.
    both = [moved(lumen, 10), moved(wall, 1)]
    assert (label_map_of(both) == 1).sum() == 100
    assert (label_map_of(both, settings=ReadSettings(priority=("lumen",))) == 1).sum() == 140


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_known_again(kind: str, apart: bool) -> None:
    config = config_of(kind, apart=apart)
    result = regions_to_result([LUMEN, WALL], config, SIZE_HW)
    assert all(is_marked(entry["id"]) for entry in result)
    drawn = Region("", 1, (box(10, 10, 20, 20),))
    hand = regions_to_result([drawn], config, SIZE_HW, is_prediction=False)
    assert not any(is_marked(entry["id"]) for entry in hand)
    # First in the list, a person's region lies on top of what is as it was predicted.
    found = label_map_of(hand + result, config)
    alone = label_map_of(hand, config)
    assert (found[alone == 1] == 1).all()
    assert (found == 2).any()


def test_a_label_changed_without_a_word_is_a_persons() -> None:
    lumen, wall = submitted(LUMEN, Region("", 2, (box(10, 5, 25, 15),)))
    assert (label_map_of([lumen, wall]) == 2).sum() == 150
    relabelled = lumen | {"value": lumen["value"] | {"polygonlabels": ["wall"]}}
    kept = wall | {"value": wall["value"] | {"polygonlabels": ["lumen"]}}
    assert (label_map_of([relabelled, wall]) == 2).sum() == 200
    assert (label_map_of([lumen, kept]) == 1).sum() == 200


def test_noise_in_the_last_bits_is_no_change() -> None:
    lumen, wall = submitted(LUMEN, WALL)
    noisy = wall | {
        "value": wall["value"] | {
            "points": [[x * (1 + 2e-16), y - 1e-13] for x, y in wall["value"]["points"]]
        }
    }  # fmt: skip
    assert (label_map_of([moved(lumen, 10), noisy]) == 1).sum() == 140


def test_a_mask_that_the_editor_wrote_anew_is_no_change() -> None:
    config = config_of("Brush")
    lumen, wall = regions_to_result([LUMEN, WALL], config, SIZE_HW)
    alpha = np.zeros((*SIZE_HW, 4), dtype=np.uint8)
    alpha[5:15, 15:25] = (0, 0, 255, 200)  # another colour, not quite opaque
    alpha[4, 15:25] = (0, 0, 255, 60)
    anew = wall | {"value": wall["value"] | {"rle": encode_rle(alpha.ravel())}}
    larger = Region("", 1, (box(5, 5, 20, 15),))
    (value,) = (e["value"] for e in regions_to_result([larger], config, SIZE_HW))
    found = label_map_of([lumen | {"value": value}, anew], config)
    assert ((found == 1).sum(), (found == 2).sum()) == (150, 50)


def test_a_copy_in_the_editor_is_a_persons() -> None:
    # Duplicated regions get an id of the editor's and keep the origin `prediction`.
    lumen, wall = submitted(LUMEN, WALL)
    copy = moved(lumen, 10) | {"id": "Qnkfmj9-7P"}
    assert (label_map_of([copy, lumen, wall]) == 1).sum() == 140


def test_other_tools_predictions_go_by_the_origin() -> None:
    lumen, wall = (e | {"id": i} for e, i in zip(submitted(LUMEN, WALL), "ab", strict=True))
    larger = moved(lumen, 10)
    assert (label_map_of([larger, wall]) == 1).sum() == 100  # nothing says that it was changed
    assert (label_map_of([larger | {"origin": "prediction-changed"}, wall]) == 1).sum() == 140
    known = [lumen, wall]
    assert (label_map_of([larger, wall], predicted=known) == 1).sum() == 140
    assert (label_map_of([lumen, wall], predicted=known) == 1).sum() == 100
    bare = [{k: v for k, v in e.items() if k != "origin"} for e in (larger, wall)]
    assert (label_map_of(bare) == 1).sum() == 100
    assert (label_map_of(bare, predicted=known) == 1).sum() == 140


def test_a_region_of_which_nothing_remains_is_noted() -> None:
    lumen, wall = submitted(LUMEN, WALL)
    over = moved(lumen, 40)
    _, notes = annotation_to_shapes(Annotation(5, 7, [over, wall]), CONFIG, SIZE_HW)
    assert [(n.reason, n.region_id) for n in notes] == [("hidden_region", wall["id"])]
    assert notes[0].message == (
        f"Region {wall['id']!r} of annotation 5 (wall) is painted over by others: "
        "no pixel of it remains."
    )


def test_ids_are_distinct_and_the_same_again() -> None:
    twice = regions_to_result([LUMEN, LUMEN, WALL], CONFIG, SIZE_HW)
    ids = [entry["id"] for entry in twice]
    assert len(set(ids)) == 3
    assert as_predicted(twice) == twice
    label_map = label_map_of([*twice, *regions_to_result([WALL], CONFIG, SIZE_HW)])
    assert (label_map > 0).sum() == 200


@pytest.mark.parametrize("nothing", [None, "", 1.5, [], {}])
def test_regions_without_an_id_get_one_each(nothing: Any) -> None:
    """One id for all would make one region of them in the editor."""
    regions = regions_to_result([LUMEN, WALL], CONFIG, SIZE_HW)
    found = as_predicted([{**entry, "id": nothing} for entry in regions])
    assert [entry["id"] for entry in found] == [entry["id"] for entry in regions]


def test_what_is_no_region_passes_through() -> None:
    odd: list[dict[str, Any]] = [
        {"type": "relation", "from_id": "a", "to_id": "b"},
        {"id": "x", "type": "polygonlabels", "value": {"points": [[1, math.inf]]}},
        {"id": "y", "type": "choices", "value": {"choices": ["good"]}},
        {"id": "z", "value": None},
    ]
    assert as_predicted(odd) == odd


def test_a_vector_that_the_editor_opened_is_still_an_area() -> None:
    config = config_of("Vector")
    (entry,) = regions_to_result([LUMEN], config, SIZE_HW)
    opened = entry | {"value": entry["value"] | {"closed": False}}
    assert (label_map_of([opened], config) == 1).sum() == 100


ANYTHING: tuple[Any, ...] = (
    None,
    3,
    True,
    "",
    "polygonlabels",
    [],
    ["polygonlabels"],
    {},
    {"polygonlabels": 1},
)


@pytest.mark.parametrize("kind", ANYTHING)
@pytest.mark.parametrize("labels", (*ANYTHING, [["lumen"]], [None], ["lumen", 3]))
def test_what_programs_wrote_in_an_entry_has_a_label_or_none(kind: Any, labels: Any) -> None:
    """Label Studio keeps a ``type`` that is a list, and labels that are no list of names."""
    value = {"polygonlabels": labels, "points": [[1, 1], [5, 1], [5, 5]]}
    entry = {"id": "r", "type": kind, "value": value}
    is_read = kind == "polygonlabels" and labels in (["lumen", 3], ["polygonlabels"])
    assert label_of(entry) == (labels[0] if is_read else "")
    assert label_of({**entry, "value": labels}) == ""
    assert labels_by_id([entry, {"id": ["r"]}, {"type": "labels", "value": {"labels": ["w"]}}]) == {
        "r": label_of(entry)
    }
    (kept,) = changes_between([entry], [entry])
    assert kept.change == Change.KEPT
