from typing import Any

import pytest

from backend.web.interface import check_labels
from domain.errors import PredictionError

XML = """<View><Image name="image" value="$image"/>
<Labels name="label" toName="image"><Label value="lumen"/></Labels>
<Polygon name="poly" toName="image"/><Brush name="brush" toName="image"/></View>"""


def pair(control: str, kind: str, label: str) -> list[dict[str, Any]]:
    entry = {"id": "a", "to_name": "image"}
    return [
        entry | {"from_name": control, "type": kind, "value": {}},
        entry | {"from_name": "label", "type": "labels", "value": {"labels": [label]}},
    ]


def test_labels_beside_shapes_fit() -> None:
    check_labels(XML, "v1", [pair("poly", "polygon", "lumen"), pair("brush", "brush", "lumen")])


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (pair("poly", "polygon", "wall"), "the label 'wall'"),
        (pair("box", "rectangle", "lumen"), "the control 'box'"),
        (pair("poly", "brush", "lumen"), "the control 'poly'"),
    ],
)
def test_what_does_not_fit(result: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(PredictionError, match=words):
        check_labels(XML, "v1", [result])


APART = """<View><Image name="image" value="$image"/>
<PolygonLabels name="zones" toName="image"><Label value="ice"/></PolygonLabels>
<BrushLabels name="strokes" toName="image"><Label value="rock"/></BrushLabels></View>"""


def test_a_class_of_another_control_does_not_fit() -> None:
    entry = {"id": "a", "to_name": "image", "from_name": "zones", "type": "polygonlabels"}
    check_labels(APART, "v1", [[entry | {"value": {"polygonlabels": ["ice"]}}]])
    with pytest.raises(PredictionError, match=r"\['rock'\] by the control 'zones'"):
        check_labels(APART, "v1", [[entry | {"value": {"polygonlabels": ["rock"]}}]])
