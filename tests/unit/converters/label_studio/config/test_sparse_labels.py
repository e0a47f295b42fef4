"""Labels that are no classes are set apart, or it is said why not."""

from __future__ import annotations

import re

import pytest

from converters.label_studio.config.label_config import parse_label_config
from converters.label_studio.config.sparse_labels import (
    SparseRules,
    as_predicted,
    choice_controls,
    with_sparse_labels,
)
from domain.errors import LabelConfigError
from domain.labels import LabelConfig, LabelNames


def interface(*labels: str, choices: str = "") -> LabelConfig:
    """An interface of these labels; one may be ``value|alias``."""
    tags = "".join(
        f'<Label value="{value}"' + (f' alias="{alias}"/>' if alias else "/>")
        for value, _, alias in (label.partition("|") for label in labels)
    )
    return parse_label_config(
        '<View><Image name="image" value="$image"/>'
        f'<PolygonLabels name="label" toName="image">{tags}</PolygonLabels>{choices}</View>'
    )


REST = """<Choices name="rest" toName="image"><Choice value="only these"/>
<Choice value="Not everything" alias="part"/></Choices>"""


def test_the_classes_are_numbered_anew_and_ignored_pixels_come_after_them() -> None:
    config = interface("Ignore", "lumen", "Rest", "wall")
    group = with_sparse_labels(config, SparseRules("Ignore", "Rest")).group
    assert [(c.value, c.index) for c in group.classes] == [("lumen", 1), ("wall", 2)]
    assert group.ignore_label is not None and group.background_label is not None
    assert (group.ignore_label.index, group.ignore_index) == (3, 3)
    assert group.background_label.index == 4
    assert group.label_values == ("lumen", "wall", "Ignore", "Rest")
    assert group.class_by_index(3).value == "Ignore"
    assert group.has_ignore


def test_without_rules_nothing_changes() -> None:
    config = interface("Ignore", "lumen")
    assert with_sparse_labels(config, SparseRules()) is config
    assert not config.group.has_ignore


@pytest.mark.parametrize(
    ("rules", "has_ignore"),
    [
        (SparseRules("Ignore"), True),
        (SparseRules(unlabelled="ignore"), True),
        (SparseRules(unlabelled_choice="only these"), True),
        (SparseRules(background_label="Rest"), False),  # nothing can be unknown then
    ],
)
def test_whether_label_maps_may_hold_ignored_pixels(rules: SparseRules, has_ignore: bool) -> None:
    group = with_sparse_labels(interface("Ignore", "lumen", "Rest", choices=REST), rules).group
    assert group.has_ignore == has_ignore


@pytest.mark.parametrize("name", ["Not to be judged", "ign", "old"])
def test_a_label_answers_to_its_title_its_alias_and_its_former_name(name: str) -> None:
    config = interface("Not to be judged|ign", "lumen")
    named = LabelNames({"old": "ign"}, config.class_values).applied_to(config)
    group = with_sparse_labels(named, SparseRules(name)).group
    assert [c.value for c in group.classes] == ["lumen"]
    assert group.ignore_label is not None and group.ignore_label.value == "ign"
    # What was drawn under any of the names is ignored.
    assert {group.class_by_value(n) for n in ("Not to be judged", "ign", "old")} == {
        group.ignore_label
    }


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (SparseRules("Ignored"), "ignore_label names 'Ignored'.*'Ignore', 'lumen', 'Rest'"),
        (SparseRules("ignore"), "ignore_label names 'ignore'"),  # letter case matters in regions
        (SparseRules(background_label="Rst"), "background_label names 'Rst'"),
        (SparseRules("Rest", "Rest"), "'Rest' can't be both"),
        (
            SparseRules("Ignore", unlabelled_choice="any"),
            "unlabelled_choice names 'any'.*choices are 'only these', 'part'.*<Choices",
        ),
        # What Label Studio stores is the alias.
        (SparseRules(unlabelled_choice="Not everything"), "no choice.*'part'"),
    ],
)
def test_what_the_interface_lacks_is_named_with_what_it_has(rules: SparseRules, said: str) -> None:
    with pytest.raises(LabelConfigError) as raised:
        with_sparse_labels(interface("Ignore", "lumen", "Rest", choices=REST), rules)
    assert re.search(said, raised.value.in_full, re.DOTALL), raised.value.in_full


def test_the_choice_is_found_by_what_label_studio_stores() -> None:
    config = interface("lumen", choices=REST)
    for choice in ("only these", "part"):
        group = with_sparse_labels(config, SparseRules(unlabelled_choice=choice)).group
        assert group.unlabelled_choice == choice


def test_the_controls_that_have_the_choice() -> None:
    more = (
        '<View><cHoices name="b" toName="image"><Choice value="x" alias="part"/></cHoices></View>'
    )
    config = interface("lumen", choices=REST + more)
    assert choice_controls(config) == ()
    for choice, names in (("part", ("rest", "b")), ("only these", ("rest",))):
        rules = SparseRules(unlabelled_choice=choice)
        assert choice_controls(with_sparse_labels(config, rules)) == names


@pytest.mark.parametrize(
    "choices",
    [
        "",
        # Of single regions, which says nothing about the image; of a taxonomy.
        REST.replace("<Choices", '<Choices perRegion="true"'),
        REST.replace("Choices", "Taxonomy"),
    ],
)
def test_a_choice_that_nobody_can_choose_for_an_image(choices: str) -> None:
    config = interface("lumen", choices=choices)
    with pytest.raises(LabelConfigError, match="no choice of the labelling"):
        with_sparse_labels(config, SparseRules(unlabelled_choice="part"))


@pytest.mark.parametrize("rules", [SparseRules("Ignore", "Rest"), SparseRules("Ignore")])
def test_a_class_must_be_left(rules: SparseRules) -> None:
    labels = [name for name in (rules.ignore_label, rules.background_label) if name]
    with pytest.raises(LabelConfigError, match="No class is left"):
        with_sparse_labels(interface(*labels), rules)


@pytest.mark.parametrize(
    ("n_classes", "rules"),
    [
        (253, SparseRules("Ignore", "Rest")),  # 0, 253 classes, 254 ignored, 255 background's own
        (253, SparseRules("Ignore")),
        (253, SparseRules(background_label="Rest")),
    ],
)
def test_as_many_classes_as_a_label_map_holds(n_classes: int, rules: SparseRules) -> None:
    names = [f"c{number}" for number in range(n_classes)]
    others = [name for name in (rules.ignore_label, rules.background_label) if name]
    group = with_sparse_labels(interface(*names, *others), rules).group
    assert max(label.index for label in group.labels) <= 255
    with pytest.raises(LabelConfigError, match="label map holds"):
        with_sparse_labels(interface(*names, "one", *others), rules)


def test_predictions_leave_nothing_out() -> None:
    config = interface("Ignore", "lumen", "Rest", choices=REST)
    rules = SparseRules("Ignore", "Rest", "ignore", "part")
    group = as_predicted(with_sparse_labels(config, rules)).group
    assert [c.value for c in group.classes] == ["lumen"] == list(group.label_values)
    assert not group.has_ignore and group.class_by_value("Ignore") is None
