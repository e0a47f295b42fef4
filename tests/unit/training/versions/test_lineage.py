from __future__ import annotations

from dataclasses import replace

import pytest

from domain.case import Manifest, ManifestEntry
from tests.fakes.documents import run_manifest
from training.versions.lineage import Judges, Seen, handed_down, trained_on
from training.versions.manifests import FoldStart, RunManifest, SeenCase


def entry(name: str, fold: int, group: str = "", image: str = "") -> ManifestEntry:
    return ManifestEntry(name, 1, 1, "h", group or name, fold, image_hash=image)


def manifest(*entries: ManifestEntry, n_folds: int = 2) -> RunManifest:
    return run_manifest(Manifest(entries, class_values=("lumen",), n_folds=n_folds))


def names(seen: tuple[SeenCase, ...] | None) -> set[str]:
    assert seen is not None
    return {case.case_id for case in seen}


def test_a_fold_has_seen_what_it_does_not_hold_out_and_what_its_start_had_seen() -> None:
    first = manifest(entry("a", 0), entry("b", 1), entry("gone", 1))
    seen = trained_on(first, 0)
    assert names(seen) == {"b", "gone"}
    second = manifest(entry("a", 0), entry("b", 1), entry("c", 1))
    handed = handed_down(seen or (), second, 0)
    # Only what its own manifest does not say anyway goes down.
    assert names(handed) == {"gone"}
    second = replace(
        second, starts=(FoldStart(seed=1, version="v1", seen=handed), FoldStart(seed=2))
    )
    assert names(trained_on(second, 0)) == {"b", "c", "gone"}
    assert names(trained_on(second, 1)) == {"a"}


def test_the_only_fold_of_one_group_has_seen_everything() -> None:
    assert names(trained_on(manifest(entry("a", 0), entry("b", 0), n_folds=1), 0)) == {"a", "b"}


def test_what_is_not_said_is_not_known() -> None:
    found = manifest(entry("a", 0), entry("b", 1))
    assert trained_on(replace(found, starts=()), 0) is None
    assert trained_on(found, 2) is None
    elsewhere = FoldStart(seed=1, version="theirs.zip", seen=None)
    assert trained_on(replace(found, starts=(elsewhere, FoldStart(seed=2))), 0) is None
    # A group that is called otherwise now is not the one its own manifest names.
    renamed = manifest(entry("a", 0), entry("b", 1, group="p"))
    assert names(handed_down(trained_on(found, 0) or (), renamed, 0)) == {"b"}


@pytest.mark.parametrize(
    ("case", "groups", "is_seen"),
    [
        (entry("new", 0), {}, False),
        (entry("old", 0), {}, True),
        (entry("new", 0, image="i"), {}, True),  # the same image under another task
        (entry("new", 0, group="p"), {}, True),  # of a patient of then
        (entry("new", 0, group="q"), {"old": "q"}, True),  # the old one is of this patient now
        (entry("new", 0, group="q"), {"old": "r"}, False),
    ],
)
def test_a_case_is_seen_by_itself_its_image_or_its_group(
    case: ManifestEntry, groups: dict[str, str], is_seen: bool
) -> None:
    seen = Seen.of([SeenCase("old", 1, "", "i", "p")], groups)
    assert bool(seen.seen_of([case], {})) is is_seen


def test_a_case_is_seen_where_another_of_its_group_is() -> None:
    seen = Seen.of([SeenCase("old", 1, "", "i", "old")], {})
    both = [entry("copy", 0, group="p", image="i"), entry("new", 0, group="p")]
    assert seen.seen_of(both, {}) == {"copy", "new"}
    assert seen.seen_of(both[1:], {}) == frozenset()


def test_the_fold_that_held_a_case_out_judges_it_and_another_where_it_has_seen_it() -> None:
    judges = Judges(
        {0: Seen(frozenset("ac")), 1: Seen(frozenset("bc")), 2: Seen(frozenset("c"))},
        fold_of_case={"a": 1, "b": 1},
        fold_of_group={},
    )
    cases = [entry("a", 0), entry("b", 0), entry("c", 0), entry("d", 5)]
    assert judges.of(cases, (0, 1, 2)) == {"a": 1, "b": 0, "d": 2}
    assert judges.of(cases, (1,)) == {"a": 1, "d": 1}
    assert judges.of(cases, ()) == {}
    assert judges.never_seen(cases) == {"d"}
