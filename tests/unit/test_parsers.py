"""Every parser of outside data takes what nobody would send, or refuses it with a sentence.

``python -m benchmarks.fuzz`` goes on for minutes.
"""

from __future__ import annotations

import base64
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzzing.mutate import mutated
from tests.fuzzing.target import Target, judge
from tests.fuzzing.targets import TARGETS

EXAMPLES = 5


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_no_input_is_a_fault(target: Target) -> None:
    seeds = tuple(target.seeds())
    assert all(judge(target, seed).fault is None for seed in seeds)

    @settings(max_examples=EXAMPLES, database=None)
    @given(st.sampled_from(seeds), st.randoms(use_true_random=False))
    def check(seed: bytes, random_: random.Random) -> None:
        data = mutated(seed, random_, others=seeds)
        fault = judge(target, data).fault
        assert fault is None, (fault, data[:1000])

    check()


def test_faults_are_found() -> None:
    """What judges them can tell: a parser that raises, one that is slow, one that says half."""

    def feed(data: bytes) -> None:
        if data == b"raise":
            raise KeyError(data)
        if data == b"half":
            raise ValueError("\ud800")
        if data == b"refuse":
            raise ValueError("no")
        sum(range(10**6 if data == b"slow" else 1))

    target = Target("one", lambda: [b"a"], feed, allowed=(ValueError,), most_s=0.001)
    keys = {d: (f.key if (f := judge(target, d).fault) else "") for d in _CASES}
    assert keys[b"raise"].startswith("KeyError at tests/unit/test_parsers.py:")
    assert keys[b"half"].startswith("unsayable at ")
    assert keys[b"slow"] == "slow"
    assert keys[b"refuse"] == keys[b"a"] == ""


_CASES = (b"raise", b"half", b"refuse", b"slow", b"a")


def test_mutations_are_the_same_for_the_same_chance_and_other_than_what_they_are_made_of() -> None:
    cheap = ("export", "body_predict", "toml", "image_png", "plans_json", "import_voc", "spacing")
    seeds = [TARGETS[name].seeds()[0] for name in cheap for _ in range(3)]
    once, again = (
        [mutated(seed, random.Random(n)) for n, seed in enumerate(seeds)] for _ in range(2)
    )
    assert once == again
    assert sum(a != b for a, b in zip(once, seeds, strict=True)) > 0.9 * len(seeds)


_MANY, _DEEP = b"9" * 5000, b"[" * 900 + b"]" * 900
_NPY = b"\x93NUMPY\x01\x00v\x00{'descr': '|u1', \n" + bytes(100)
_SHAPE = b'{"label": "a", "shape_type": "polygon", "points": %s}'
_COCO = (
    b'{"images": [{"id": %s, "file_name": "\\ud800.png", "height": 9, "width": 9}],'
    b' "annotations": [{"id": 1, "image_id": %s, "bbox": [1, 1, 5, 5], "category_id": 1}],'
    b' "categories": [{"id": 1, "name": "\\udfff"}]}'
)
FOUND = (
    ("access_token", b"a." + base64.urlsafe_b64encode(b"[" * 99_999) + b".c"),
    ("address", b"/data/local-\tfiles/?d=a.png"),
    ("address", b"/data/local-files/?\nd\r=a.png"),
    ("backup_json", b'{"form": 1e999}'),
    ("classes_json", b'{"lumen": "%s"}' % (b"a" * 300)),
    ("dataset_json", b'{"labels": %s' % (b"[" * 99_999)),
    ("dataset_json", b'{"labels": {"%s": "lumen"}}' % _MANY),
    ("dataset_json", b'{"labels": {"a": 1}, "channel_names": {"%s": "a", "1": "b"}}' % _MANY),
    ("environment", b"NNLOOP_DATA_DIR=~\xed\xbf\xbf"),
    ("images_json", b'[{"mask": "labelsTr/%s", "image": "a", "task_id": 1}]' % (b"a" * 300)),
    ("import_cvat", b"<?xml version='1.0' encoding='utf-9'?><annotations></annotations>"),
    ("import_voc", b"<?xml version='1.0' encoding='utf-9'?><annotation></annotation>"),
    ("import_coco", _COCO % (b'"\\ud800"', b'"\\ud800"')),
    ("import_labelme", b'{"shapes": [%s]}' % (_SHAPE % _DEEP)),
    ("import_yolo_yaml", b"names:\n  %s: lumen\n" % _MANY),
    ("import_yolo_yaml", b"names: {%s: lumen}\n" % _MANY),
    ("labelmap_txt", b"lumen:255,%s,0::\n" % _MANY),
    ("mask_npy", _NPY),
    ("postprocessing_json", b"[" * 99_999),
    ("progress_jsonl", b"[" * 99_999),
    ("project_setting", b"plans=" + b"a" * 5000 + b"/b.json"),
    ("project_setting", b"group_key=name:" + b"(" * 2000),
    ("project_setting", b"group_key=name:(a{99999999999})"),
    ("toml", b"a = " + _DEEP),
    ("toml", b"a = " + _MANY),
)  # fmt: skip
"""Inputs that were faults once."""


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_was_found_once_stays_mended(name: str, data: bytes) -> None:
    assert judge(TARGETS[name], data).fault is None
