import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converters.bookkeeping.documents import from_json, to_json
from domain.annotation import LeftOut
from domain.case import Manifest, ManifestEntry, case_id_of_task
from domain.hashing import content_hash

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def entry(task_id: int, annotation_id: int = 1, digest: str = "a", fold: int = 0) -> ManifestEntry:
    return ManifestEntry(case_id_of_task(task_id), task_id, annotation_id, digest, "", fold)


def test_case_ids_sort_like_their_tasks() -> None:
    ids = [case_id_of_task(n) for n in (1, 9, 10, 12_345_678)]
    assert ids == sorted(ids)
    assert ids[0] == "task_00000001"


@given(st.dictionaries(st.text(), json_values))
def test_content_hash_ignores_key_order_only(value: dict[str, object]) -> None:
    assert content_hash(dict(reversed(value.items()))) == content_hash(value)
    assert content_hash(value | {"one more key": 1}) != content_hash(value)
    assert len(content_hash(value)) == 64


def test_manifest_survives_json() -> None:
    manifest = Manifest(
        entries=(entry(1), entry(2, fold=1)),
        left_out=(LeftOut(3, "skipped", "Task 3 was skipped."),),
        class_values=("lumen", "wall"),
        n_folds=3,
    )
    assert from_json(Manifest, json.loads(json.dumps(to_json(Manifest, manifest)))) == manifest


def test_a_manifest_names_every_annotation() -> None:
    several = ManifestEntry("task_00000001", 1, 5, "a", "", 0, annotation_ids=(3, 5))
    value = to_json(Manifest, Manifest(entries=(several,)))
    assert value["entries"][0]["annotation_ids"] == [3, 5]
    assert from_json(Manifest, json.loads(json.dumps(value))).entries == (several,)
    assert ManifestEntry("task_00000001", 1, 5, "a", "", 0).annotation_ids == (5,)


@pytest.mark.parametrize(
    "changed",
    [
        Manifest((entry(1),), (), ("a",), 3),  # a case less
        Manifest((entry(1), entry(2, annotation_id=5)), (), ("a",), 3),
        Manifest((entry(1), entry(2, digest="b")), (), ("a",), 3),
        Manifest((entry(1), entry(2, fold=1)), (), ("a",), 3),
        Manifest((entry(1), entry(2)), (), ("b",), 3),
        Manifest((entry(1), entry(2)), (), ("a",), 5),
    ],
)
def test_the_digest_sees_every_change(changed: Manifest) -> None:
    assert changed.digest != Manifest((entry(1), entry(2)), (), ("a",), 3).digest


def test_the_digest_ignores_order_and_what_was_left_out() -> None:
    left_out = (LeftOut(3, "skipped", "Task 3 was skipped."),)
    one = Manifest((entry(1), entry(2)), (), ("a",), 3)
    assert Manifest((entry(2), entry(1)), left_out, ("a",), 3).digest == one.digest
