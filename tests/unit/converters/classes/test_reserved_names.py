"""dataset.json that nnU-Net reads as plain classes, whatever these are called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nnunetv2.preprocessing.normalization.default_normalization_schemes import ZScoreNormalization
from nnunetv2.preprocessing.normalization.map_channel_name_to_normalization import (
    channel_name_to_normalization_mapping,
    get_normalization_scheme,
)
from nnunetv2.utilities.label_handling.label_handling import LabelManager

from converters.classes.reserved_names import (
    class_of_label,
    nnunet_channel,
    nnunet_labels,
    renamed_labels,
)

RESERVED = ["background", "ignore", "Background", "IGNORE"]
NEAR = ["1_background", "2_ignore", "1_ignore_", "a b/c", "é", "0", "lesion", '"quoted"']
NAMES = st.sampled_from([*RESERVED, *NEAR])


@given(st.lists(NAMES, min_size=1, max_size=6, unique=True))
def test_every_class_is_a_plain_one(values: list[str]) -> None:
    labels = nnunet_labels(values)
    assert labels["background"] == 0
    assert sorted(labels.values()) == list(range(len(values) + 1))
    manager = LabelManager(labels, None)
    assert not manager.has_ignore_label
    assert not manager.has_regions
    assert list(manager.foreground_labels) == list(range(1, len(values) + 1))
    # Whatever a class is called, reading gives it back.
    names = {integer: name for name, integer in labels.items()}
    assert [class_of_label(names[k], k) for k in range(1, len(values) + 1)] == values


def test_a_renamed_class_is_known_again() -> None:
    values = ["lesion", "ignore", "background"]
    names = {k: name for name, k in nnunet_labels(values).items() if k}
    assert [class_of_label(name, k) for k, name in names.items()] == values
    assert renamed_labels(values) == {"ignore": "2_ignore", "background": "3_background"}
    assert class_of_label("1_ignore", 2) == "1_ignore"
    assert renamed_labels(["lesion"]) == {}
    assert renamed_labels(["1_ignore", "1_background"]) == {"1_ignore": "1_1_ignore"}


@pytest.mark.parametrize("name", [*channel_name_to_normalization_mapping, "CT", "NoNorm"])
def test_no_channel_changes_how_intensities_are_scaled(name: str) -> None:
    assert get_normalization_scheme(nnunet_channel(name)) is ZScoreNormalization
    assert nnunet_channel("t1") == "t1"
