from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from training.evaluation import named_dice
from training.evaluation.case_measures import CaseMeasures, ClassMeasures, Presence, measure_case
from training.evaluation.summary import MIXED_UNITS, Problem, Spread, evaluate

CLASSES = ("lumen", "wall")
EMPTY = np.zeros((20, 30), np.uint8)


def painted(*boxes: tuple[int, int, int]) -> npt.NDArray[Any]:
    """Boxes of 6 x 6 pixels: (class, top, left)."""
    label_map = EMPTY.copy()
    for value, top, left in boxes:
        label_map[top : top + 6, left : left + 6] = value
    return label_map


def case(
    name: str, predicted: npt.NDArray[Any], reference: npt.NDArray[Any], **more: object
) -> CaseMeasures:
    return measure_case(name, predicted, reference, CLASSES, **more)  # type: ignore[arg-type]


PERFECT = case("perfect", painted((1, 2, 2), (2, 10, 10)), painted((1, 2, 2), (2, 10, 10)))
SHIFTED = case("shifted", painted((1, 2, 3), (2, 10, 10)), painted((1, 2, 2), (2, 10, 10)))
MISSED = case("missed", painted((2, 10, 10)), painted((1, 2, 2), (2, 10, 10)))
INVENTED = case("invented", painted((1, 2, 2), (2, 10, 10)), painted((1, 2, 2)))
NOTHING = case("nothing", EMPTY, EMPTY)


def test_a_case_class_by_class() -> None:
    lumen, wall = SHIFTED.classes
    assert (lumen.presence, lumen.dice, lumen.iou) == (Presence.BOTH, 60 / 72, 30 / 42)
    assert (lumen.hausdorff95, lumen.reference_px, lumen.predicted_px) == (1.0, 36, 36)
    assert (wall.dice, wall.hausdorff95, wall.mean_surface_distance) == (1, 0, 0)
    assert SHIFTED.mean_dice == pytest.approx((60 / 72 + 1) / 2)
    assert SHIFTED.unit == "px"


def test_absent_classes_are_flagged_and_have_no_distance() -> None:
    rows: tuple[tuple[ClassMeasures, Presence, float | None], ...] = (
        (MISSED.classes[0], Presence.MISSED, 0),
        (INVENTED.classes[1], Presence.INVENTED, 0),
        (NOTHING.classes[0], Presence.NEITHER, None),
    )
    for measures, presence, dice in rows:
        assert (measures.presence, measures.dice, measures.iou) == (presence, dice, dice)
        assert measures.hausdorff95 is measures.mean_surface_distance is None


def test_dice_is_that_of_training_and_gate() -> None:
    predicted, reference = painted((1, 2, 3)), painted((1, 2, 2), (2, 10, 10))
    found = {one.class_value: one.dice for one in case("x", predicted, reference).classes}
    assert found == named_dice(predicted, reference, CLASSES)


def test_spacing_makes_millimetres() -> None:
    found = case("x", painted((1, 2, 3)), painted((1, 2, 2)), spacing_mm=(9.0, 0.5))
    assert (found.unit, found.classes[0].hausdorff95) == ("mm", 0.5)


def test_shapes_must_agree_and_there_must_be_classes() -> None:
    with pytest.raises(ValueError, match="shape"):
        case("x", EMPTY, EMPTY[:-1])
    with pytest.raises(ValueError, match="class"):
        measure_case("x", EMPTY, EMPTY, ())


def test_the_worst_case_comes_first() -> None:
    far = case("far", painted((1, 2, 20), (2, 10, 10)), painted((1, 2, 2), (2, 10, 10)))
    near = case("near", painted((1, 2, 9), (2, 10, 10)), painted((1, 2, 2), (2, 10, 10)))
    # All three have Dice 0 for the lumen: a missed one is infinitely far away.
    found = evaluate([PERFECT, near, SHIFTED, MISSED, far], CLASSES)
    names = [one.case_id for one in found.cases]
    assert names == ["missed", "far", "near", "shifted", "perfect"]


def test_every_case_is_counted_and_said() -> None:
    cases = [PERFECT, SHIFTED, MISSED, INVENTED, NOTHING]
    found = evaluate(cases, CLASSES, [Problem("lost", "unreadable", "It is no image.")])
    lumen, wall = found.classes
    assert (lumen.n_cases, lumen.n_both, lumen.n_missed, lumen.n_invented, lumen.n_neither) == (
        5,
        3,
        1,
        0,
        1,
    )
    assert (wall.n_both, wall.n_missed, wall.n_invented, wall.n_neither) == (3, 0, 1, 1)
    assert lumen.dice.n == lumen.iou.n == 4
    assert lumen.dice.mean == pytest.approx((1 + 60 / 72 + 0 + 1) / 4)
    assert lumen.dice.mean is not None
    assert found.mean_dice == pytest.approx((lumen.dice.mean + 3 / 4) / 2)
    # The one image with nothing in it, left empty, is a good prediction.
    assert (found.images.n, found.n_empty, found.n_left_empty) == (5, 1, 1)
    assert found.images.mean == pytest.approx((1 + (60 / 72 + 1) / 2 + 1 / 2 + 1 / 2 + 1) / 5)
    assert (lumen.hausdorff95.n, lumen.hausdorff95.highest) == (3, 1.0)
    value = json.loads(json.dumps(found.to_json(2), allow_nan=False))
    assert [case["case_id"] for case in value["worst"]] == ["invented", "missed"]
    assert value["worst"][1]["classes"][0]["presence"] == "missed"
    assert value["problems"][0]["reason"] == "unreadable"
    assert value["n_cases"] == 5
    assert value["dice_of_images"]["n"] == 5


def test_a_class_in_no_case_has_no_figure() -> None:
    without = evaluate([PERFECT, SHIFTED, NOTHING], CLASSES)
    names = (*CLASSES, "debris")
    cases = [
        measure_case(
            "perfect", painted((1, 2, 2), (2, 10, 10)), painted((1, 2, 2), (2, 10, 10)), names
        ),
        measure_case(
            "shifted", painted((1, 2, 3), (2, 10, 10)), painted((1, 2, 2), (2, 10, 10)), names
        ),
        measure_case("nothing", EMPTY, EMPTY, names),
    ]
    found = evaluate(cases, names)
    assert found.classes[2].dice == found.classes[2].iou == Spread(0)
    assert found.classes[2].n_neither == 3
    assert found.classes[:2] == without.classes
    assert (found.mean_dice, found.images) == (without.mean_dice, without.images)
    assert [one.case_id for one in found.cases] == [one.case_id for one in without.cases]


def test_only_empty_images() -> None:
    invented = case("seen where nothing is", painted((1, 2, 2)), EMPTY)
    found = evaluate([NOTHING, invented], CLASSES)
    assert [one.case_id for one in found.cases] == ["seen where nothing is", "nothing"]
    assert (found.n_empty, found.n_left_empty, found.images.mean) == (2, 1, 0.5)
    # One case says something about the lumen: it was invented there.
    assert (found.mean_dice, found.classes[0].dice.n, found.classes[1].dice.n) == (0.0, 1, 0)
    assert evaluate([NOTHING], CLASSES).mean_dice is None


def test_spread() -> None:
    spread = Spread.of([1.0, 2.0, 6.0])
    assert (spread.mean, spread.median, spread.lowest, spread.highest) == (3, 2, 1, 6)
    assert spread.sd == pytest.approx(math.sqrt(7))
    assert Spread.of([1.0]).sd is None
    assert Spread.of([]) == Spread(0)


def test_units_are_never_mixed() -> None:
    in_mm = case("mm", painted((1, 2, 3)), painted((1, 2, 2)), spacing_mm=(0.5, 0.5))
    found = evaluate([SHIFTED, in_mm], CLASSES)
    assert (found.unit, found.remarks) == ("mixed", (MIXED_UNITS,))
    assert found.classes[0].hausdorff95.n == 0
    assert found.classes[0].dice.n == 2
    assert evaluate([in_mm], CLASSES).unit == "mm"


def test_without_cases_nothing_is_made_up() -> None:
    found = evaluate([], CLASSES)
    assert found.mean_dice is None
    assert found.classes[0].dice == Spread(0)


def test_what_the_reference_ignores_enters_no_measure() -> None:
    reference = np.zeros((20, 30), np.uint8)
    reference[5:15, 5:15] = 1
    reference[:, 20:] = 3
    predicted = reference.copy()
    predicted[predicted == 3] = 0
    expected = measure_case("a", predicted, predicted, ("lumen", "wall"))
    predicted[4:12, 22:28], predicted[15:19, 22:28] = 1, 2
    found = measure_case("a", predicted, reference, ("lumen", "wall"))
    assert found == expected and expected.classes[0].dice == 1.0
    assert found.classes[0].hausdorff95 == 0.0
    # The class that is seen only there is absent from both.
    assert found.classes[1].dice is None
