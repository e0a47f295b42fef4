from __future__ import annotations

import pytest

from backend.pipeline.models.label_names import fit_labels
from converters.classes.matching import parse_map
from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.config.sparse_labels import SparseRules, with_sparse_labels
from domain.errors import SettingsError
from domain.labels import LabelGroup


def _group(*labels: str) -> LabelGroup:
    tags = "".join(f"<Label value='{label}'/>" for label in labels)
    return parse_label_config(
        "<View><Image name='image' value='$image'/>"
        f"<PolygonLabels name='label' toName='image'>{tags}</PolygonLabels></View>"
    ).group


@pytest.mark.parametrize(
    ("labels", "mapping", "fitted", "missing"),
    [
        (("lumen", "wall"), {}, ("lumen", "wall"), ()),
        (("wall", "lumen"), {}, ("wall", "lumen"), ()),  # the model keeps its integers
        (("1_lumen", "2_wall"), {}, ("lumen", "wall"), ()),  # as nnloop's own versions say it
        (("LUMEN",), {}, ("lumen",), ("wall",)),
        (("vessel", "wall"), {"vessel": "lumen"}, ("lumen", "wall"), ()),
        (("bone", "wall"), {"bone": ""}, ("(bone)", "wall"), ("lumen",)),
        (("wall", "lumen"), {"wall": "lumen", "lumen": "wall"}, ("lumen", "wall"), ()),  # swapped
    ],
)
def test_classes_are_named_as_the_project_does(
    labels: tuple[str, ...],
    mapping: dict[str, str],
    fitted: tuple[str, ...],
    missing: tuple[str, ...],
) -> None:
    found = fit_labels(labels, _group("lumen", "wall"), mapping)
    assert (found.class_values, found.missing) == (fitted, missing)


@pytest.mark.parametrize(
    ("labels", "mapping", "words"),
    [
        (("bone", "wall"), {}, "class 'bone' is no label"),
        (("vessel", "lumen"), {"vessel": "lumen"}, "would become 'lumen'"),
        (("bone",), {"bone": ""}, "Every class of the model is left out"),
        (("lumen",), {"bone": "wall"}, "names 'bone'"),
        (("lumen",), {"lumen": "bone"}, "names 'bone'"),
    ],
)
def test_what_does_not_fit_is_refused_with_both_lists(
    labels: tuple[str, ...], mapping: dict[str, str], words: str
) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        fit_labels(labels, _group("lumen", "wall"), mapping)
    assert "the project lumen, wall" in caught.value.remedy


def test_map_options_are_read() -> None:
    assert parse_map(["a=b", " c = ", "d=e=f"]) == {"a": "b", "c": "", "d": "e=f"}
    for wrong in (["a"], ["=b"], ["a=b", "a=c"]):
        with pytest.raises(SettingsError, match="--map"):
            parse_map(wrong)


def test_what_the_project_ignores_is_no_class_to_predict() -> None:
    config = parse_label_config(
        "<View><Image name='image' value='$image'/><PolygonLabels name='label' toName='image'>"
        "<Label value='Ignore'/><Label value='lumen'/><Label value='Rest'/></PolygonLabels></View>"
    )
    group = with_sparse_labels(config, SparseRules("Ignore", "Rest")).group
    for mapping in ({}, {"Rest": "Ignore"}, {"ignore": "Rest"}):
        found = fit_labels(("Rest", "lumen", "ignore"), group, mapping)
        assert found.class_values == ("(Rest)", "lumen", "(ignore)")
        assert found.missing == ()
    with pytest.raises(SettingsError, match="Every class of the model is left out"):
        fit_labels(("Rest", "Ignore"), group, {})
