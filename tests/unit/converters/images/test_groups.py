from __future__ import annotations

import pytest

from converters.images.groups import GroupKey
from domain.annotation import Task


def group(key: str, **data: object) -> str | None:
    return GroupKey.parse(key).group_of(Task(1, 1, data), "image")


def test_a_field() -> None:
    assert group("patient", patient="p7") == "p7"
    assert group("patient", patient=7) == "7"
    assert group("patient", patient="") is None
    assert group("patient", site="x") is None


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        # Label Studio's prefix of uploads is no part of the name.
        ("/data/upload/3/0a1b2c3d-P07_left.png", "P07"),
        ("/data/local-files/?d=scans%2FP08_left.png", "P08"),
        ("s3://bucket/P1/P09_x.png", "P09"),
        ("https://host/P10_x.png?token=P11_", "P10"),
        ("/data/upload/3/0a1b2c3d-left.png", None),
        (None, None),
    ],
)
def test_a_part_of_the_file_name(uri: object, expected: str | None) -> None:
    assert group(r"name:^(P\d+)_", image=uri) == expected


def test_a_group_that_matches_nothing() -> None:
    assert group(r"name:(x)?", image="/a/b.png") is None
    assert group(r"name:(x?)", image="/a/b.png") is None


@pytest.mark.parametrize("key", ["name:(", "name:", "name:abc", "name:(a)(b)"])
def test_what_is_no_expression_with_one_group_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"regular expression|must have one group"):
        GroupKey.parse(key)
