"""The learning curve of a project, from a real store."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from active_learning.control_arm import Estimate
from backend.pipeline.progress.held_out import MOST_VERSIONS, HeldOut, held_out_of
from backend.pipeline.progress.learning import MORE, Learning, PoolPoint, conclude, learning_of
from backend.pipeline.progress.words import learning_in_words
from backend.settings import ProjectSettings
from backend.store import projects
from backend.store.models import RunRow, VersionRow
from backend.store.quality.pair_rows import HonestPairRow
from backend.store.tasks.queues import QueueEntryRow
from domain.queues import QueueArm, QueueExit
from domain.states import VersionOrigin, VersionStatus
from tests.fakes.app import PROJECT, FakeApp
from tests.fakes.held_out import add_version, cases, manifest_of
from training.presets import FAST


def learning(app: FakeApp, **options: bool) -> Learning:
    with app.store.read() as session:
        return learning_of(session, projects.get(session, PROJECT), **options)


def test_a_project_without_a_version(app: FakeApp) -> None:
    found = learning(app)
    assert (found.versions, found.gains, found.now, found.labels) == ((), {}, None, 0)
    assert "first training" in found.missing
    assert learning_in_words(found).startswith("nothing to tell yet: no version has held-out")


def test_one_version_tells_its_quality_and_no_gain(app: FakeApp) -> None:
    add_version(app, 1, cases(10, 0.7))
    found = learning(app)
    assert found.now is not None and found.now.quality == pytest.approx(0.7)
    assert (found.gains, found.n_cases) == ({}, 10)
    assert learning_in_words(found) == (
        "mean Dice per image 0.700 on the 10 cases that nnloop-v1 held out, at 10 labels; what "
        "more would give can't be told yet: it "
        "takes two versions with different numbers of labels"
    )


def test_versions_are_compared_on_the_same_cases(app: FakeApp) -> None:
    """The second is better everywhere, and its new cases are hard: its own mean is lower."""
    add_version(app, 1, cases(10, 0.7))
    add_version(app, 2, cases(20, 0.8, dict.fromkeys(range(10, 20), 0.3)))
    found = learning(app, with_band=True)
    first, second = found.versions
    assert [first.held_out, second.held_out] == pytest.approx([0.7, 0.55])
    assert [first.quality, second.quality] == pytest.approx([0.45, 0.55])
    assert (found.newest, found.n_cases, second.n_shared) == ("nnloop-v2", 20, 10)
    assert list(found.gains) == list(MORE)
    assert found.band[0].labels == 10 and found.band[-1].labels == 120
    words = learning_in_words(found)
    assert words.startswith(
        "mean Dice per image 0.550 on the 20 cases that nnloop-v2 held out, at 20 labels; 20 more "
        "probably add 0."
    )
    assert ", 50 0." in words and ", 100 0." in words


def test_a_label_that_was_changed_is_not_compared(app: FakeApp) -> None:
    before = cases(10, 0.7)
    add_version(app, 1, before)
    add_version(app, 2, {**cases(20, 0.8), "task_00000000": 0.1}, changed="task_00000000")
    first, second = learning(app).versions
    assert second.quality - first.quality == pytest.approx(0.1)
    assert first.n_shared == 9


def test_what_was_trained_otherwise_is_left_out_and_named(app: FakeApp) -> None:
    add_version(app, 1, cases(10, 0.7), preset=FAST)
    add_version(app, 2, cases(12, 0.7), name="wall")
    add_version(app, 3, cases(14, 0.8))
    app.add_imported("theirs")
    found = learning(app)
    assert [one.name for one in found.versions] == ["nnloop-v3"]
    assert [(one.name, one.reason) for one in found.left_out] == [
        ("nnloop-v1", "it was trained with the preset fast, nnloop-v3 with tiny"),
        ("nnloop-v2", "it does not know lumen"),
    ]


def refuse(app: FakeApp, version: int, **settings: object) -> None:
    with app.store.begin() as session:
        row = session.get_one(VersionRow, version)
        row.status = VersionStatus.REJECTED
        run = session.get_one(RunRow, row.run_id)
        run.settings = run.settings.model_copy(update=settings)


def test_a_trial_that_was_refused_does_not_speak_for_now(app: FakeApp) -> None:
    add_version(app, 1, cases(10, 0.8))
    add_version(app, 2, cases(14, 0.9))
    before = learning(app)
    # Another preset, and the same with twenty seconds.
    trials = [
        add_version(app, 3, cases(14, 0.1), preset=FAST),
        add_version(app, 4, cases(14, 0.2)),
    ]
    for trial, settings in zip(trials, ({}, {"budget_s": 20.0}), strict=True):
        refuse(app, trial, **settings)
    found = learning(app)
    assert (found.newest, found.now, found.gains) == ("nnloop-v2", before.now, before.gains)
    assert [(one.name, one.reason) for one in found.left_out] == [
        ("nnloop-v3", "it was trained with the preset fast, nnloop-v2 with tiny"),
        ("nnloop-v4", "it was trained within 20 s, nnloop-v2 without a time limit"),
    ]
    # One that was trained like the others stands beside them: they would look better without.
    for refused in (*trials, add_version(app, 5, cases(16, 0.85))):
        refuse(app, refused)
    found = learning(app)
    assert [one.name for one in found.versions] == ["nnloop-v1", "nnloop-v2", "nnloop-v5"]
    assert found.newest == "nnloop-v2"


def test_where_all_were_refused_the_newest_speaks(app: FakeApp) -> None:
    for version in [add_version(app, number, cases(10 + number, 0.8)) for number in (1, 2)]:
        refuse(app, version)
    assert learning(app).newest == "nnloop-v2"


def test_cases_that_weights_may_have_seen_do_not_count(app: FakeApp) -> None:
    manifest = manifest_of(list(cases(10, 0.7)))
    fresh, doubtful = manifest.starts
    version = add_version(app, 1, cases(10, 0.7, {1: 1.0, 3: 1.0}))
    with app.store.begin() as session:
        run = session.get_one(RunRow, session.get_one(VersionRow, version).run_id)
        run.manifest = replace(manifest, starts=(fresh, replace(doubtful, seen=None)))
    found = learning(app)
    assert found.n_cases == 5  # fold 0's
    assert found.now is not None and found.now.quality == pytest.approx(0.7)


def test_a_renamed_class_is_the_same_class(app: FakeApp) -> None:
    add_version(app, 1, cases(10, 0.7), name="old")
    add_version(app, 2, cases(20, 0.8))
    with app.store.begin() as session:
        projects.get(session, PROJECT).label_mapping = {"old": "lumen"}
    assert len(learning(app).versions) == 2


def test_a_version_with_fewer_labels_is_the_newest_all_the_same(app: FakeApp) -> None:
    add_version(app, 1, cases(20, 0.7))
    add_version(app, 2, cases(12, 0.8))  # somebody has deleted labels
    found = learning(app)
    assert [one.name for one in found.versions] == ["nnloop-v2", "nnloop-v1"]
    assert (found.newest, found.n_cases, found.labels) == ("nnloop-v2", 12, 20)


def test_an_ensemble_is_no_point_of_the_curve(app: FakeApp) -> None:
    add_version(app, 1, cases(10, 0.7))
    with app.store.begin() as session:
        row = session.get_one(VersionRow, add_version(app, 2, cases(10, 0.9)))
        row.origin, row.run_id = VersionOrigin.ENSEMBLE, None
    assert [one.name for one in learning(app).versions] == ["nnloop-v1"]


@pytest.mark.slow
def test_of_two_hundred_versions_some_are_looked_at(app: FakeApp) -> None:
    for number in range(1, 201):
        add_version(app, number, cases(9 + number, 0.7))
    with app.store.read() as session:
        compared, left_out = held_out_of(session, projects.get(session, PROJECT))
    assert len(compared) == MOST_VERSIONS and left_out == ()
    assert (compared[0].labels, compared[-1].name) == (11, "nnloop-v200")
    assert [one.labels for one in compared] == sorted({one.labels for one in compared})


def add_draw(app: FakeApp, version: int, task_id: int, dice: float) -> None:
    """A task that chance drew while a version served, and what people made of its prediction."""
    with app.store.begin() as session:
        session.add(
            QueueEntryRow(
                project_id=PROJECT,
                annotator_id=1,
                task_id=task_id,
                source="s",
                batch=1,
                arm=QueueArm.CONTROL,
                version_id=version,
                strategy="random",
                exit=QueueExit.LABELLED,
                left_at=1.0,
            )
        )
        session.add(
            HonestPairRow(
                project_id=PROJECT, task_id=task_id, version_id=version, source="s", dice=dice
            )
        )


def test_what_chance_drew_is_told_by_the_version_that_served(app: FakeApp) -> None:
    version = add_version(app, 1, cases(10, 0.7))
    for task_id in range(30, 34):
        add_draw(app, version, task_id, 0.6)
    (point,) = learning(app).pool
    assert (point.version, point.labels, point.quality.n) == ("nnloop-v1", 10, 4)
    assert point.quality.mean == pytest.approx(0.6)


@pytest.mark.slow
def test_of_many_versions_with_a_control_arm_the_newest_are_told(app: FakeApp) -> None:
    for number in range(1, MOST_VERSIONS + 6):
        add_draw(app, add_version(app, number, cases(3 + number, 0.7)), 100 + number, 0.6)
    pool = learning(app).pool
    assert len(pool) == MOST_VERSIONS
    assert pool[0].version == "nnloop-v6" and pool[-1].version == f"nnloop-v{MOST_VERSIONS + 5}"


def conclusion(settings: ProjectSettings, **options: float) -> Learning:
    compared = [
        HeldOut(f"v{n}", n, {f"case {i}": 0.8 + 0.001 * i for i in range(20)})
        for n in (20, 40, 80, 160)
    ]
    missed = PoolPoint("v160", 160, Estimate(40, 0.5, 0.45, 0.55))
    pool = [missed] if options.pop("missed", 0) else []
    return conclude(compared, (), pool, settings, seconds_per_label=options.get("seconds"))


def test_enough_by_what_the_project_has_set() -> None:
    assert conclusion(ProjectSettings()).enough is None
    assert not conclusion(ProjectSettings()).is_asked
    reached = conclusion(ProjectSettings(target_quality=0.75))
    assert reached.is_asked and reached.enough is not None
    assert learning_in_words(reached).endswith(f". Enough: {reached.enough.reason}")
    assert conclusion(ProjectSettings(target_quality=0.95)).enough is None
    # Held-out cases are above the target, the whole is not.
    assert conclusion(ProjectSettings(target_quality=0.75), missed=1).enough is None


def test_gain_per_hour_needs_to_know_what_a_label_takes() -> None:
    bound = ProjectSettings(least_gain_per_hour=0.5)
    unknown = conclusion(bound)
    assert unknown.enough is None
    said = "Not judged yet: gain per hour: nobody knows yet what a label takes (nnloop effort)"
    assert learning_in_words(unknown).endswith(said)
    found = conclusion(bound, seconds=120.0)
    assert not found.unjudged
    assert found.enough is not None and "less than the 0.5" in found.enough.reason


def test_a_target_that_is_not_reached_names_the_probability_that_is_needed() -> None:
    missed = conclusion(ProjectSettings(target_quality=0.95))
    assert missed.chance is not None and missed.chance < 0.8
    assert re.search(
        r"Labels are not enough yet by what was set: a mean Dice of 0.95 or more has a "
        r"probability of (below )?\d+%, and 80% are needed$",
        learning_in_words(missed),
    )
    by_chance = conclusion(ProjectSettings(target_quality=0.75), missed=1)
    said = "on images that chance drew, less than 0.75 is reached"
    assert learning_in_words(by_chance).endswith(said)
    assert "enough" not in learning_in_words(conclusion(ProjectSettings()))
