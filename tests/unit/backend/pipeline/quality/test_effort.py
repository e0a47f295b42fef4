"""What a project's labels cost, and what predictions saved."""

from __future__ import annotations

from itertools import count

import pytest

from active_learning.effort import Effort, TimePerAction
from backend.pipeline.quality.effort import (
    NEWEST,
    ProjectEffort,
    effort_of_project,
    seconds_per_label,
)
from backend.pipeline.quality.words import time_in_words
from backend.pipeline.status import project_report
from backend.store.models import ProjectRow, VersionRow
from backend.store.quality import efforts
from backend.store.quality.efforts import EffortRow
from backend.store.tasks.queues import QueueTabRow
from converters.label_studio.beginnings import Beginning
from domain.case import ManifestEntry
from tests.fakes.app import PROJECT, FakeApp
from tests.unit.backend.pipeline.quality.pushed import add_version, manifest_of
from training.versions.metrics import VersionMetrics

ANNA, BEN = 5, 6
KEPT = {"lumen": Effort(n_kept=1)}
EDITED = {"lumen": Effort(n_edited=1, points_moved=3, points_added=1)}
DRAWN = {"lumen": Effort(n_drawn=1, points_drawn=20)}
_ids = count(1)


def add_efforts(
    app: FakeApp, n: int, classes: dict[str, Effort], version: int | None, **values: object
) -> None:
    beginning = Beginning.NOTHING if version is None else Beginning.PREDICTION
    rows = [
        EffortRow(
            annotation_id=number,
            project_id=PROJECT,
            task_id=number,
            classes=classes,
            version_id=version,
            **{"beginning": beginning, "n_regions": 1, "n_points": 20, **values},
        )
        for number in (next(_ids) for _ in range(n))
    ]
    with app.store.begin() as session:
        efforts.save(session, rows)


def _effort(app: FakeApp) -> ProjectEffort:
    with app.store.read() as session:
        return effort_of_project(session, session.get_one(ProjectRow, PROJECT))


def _held_out(app: FakeApp, version: int, *dice: float) -> None:
    with app.store.begin() as session:
        row = session.get_one(VersionRow, version)
        row.metrics = VersionMetrics(
            labels=len(dice),
            dice_per_case={str(number): {"lumen": one} for number, one in enumerate(dice)},
        )


def test_nothing_known(app: FakeApp) -> None:
    assert _effort(app) == ProjectEffort()
    assert _effort(app).n == 0


def test_lines_per_version_class_and_annotator(app: FakeApp) -> None:
    first, second = add_version(app), add_version(app, 2)
    with app.store.begin() as session:
        session.add(
            QueueTabRow(
                project_id=PROJECT, annotator_id=ANNA, name="Anna", title="nnloop: Anna", view_id=1
            )
        )
    add_efforts(app, 3, EDITED, first, annotator_id=ANNA, lead_time_s=20.0, dice=0.8)
    add_efforts(
        app, 3, KEPT | {"wall": Effort(n_removed=1)}, first, annotator_id=BEN, lead_time_s=10.0
    )
    add_efforts(app, 2, KEPT, second, annotator_id=ANNA, dice=1.0, dice_per_class={"lumen": 1.0})
    add_efforts(app, 4, DRAWN, None, annotator_id=ANNA)
    add_efforts(app, 1, DRAWN, None, annotator_id=None, beginning=Beginning.OTHER)
    found = _effort(app)
    assert [(line.name, line.n, line.n_unchanged) for line in found.versions] == [
        ("nnloop-v1", 6, 0),
        ("nnloop-v2", 2, 2),
    ]
    assert found.versions[0].effort == Effort(
        n_kept=3, n_edited=3, n_removed=3, points_moved=9, points_added=3
    )
    assert found.versions[0].median_s == 15.0
    assert found.versions[0].dice == pytest.approx(0.8)
    assert found.versions[1].median_s is None
    assert [(line.name, line.n, line.n_unchanged) for line in found.classes] == [
        ("lumen", 8, 5),
        ("wall", 3, 0),
    ]
    assert found.classes[0].dice == 1.0
    assert [(line.name, line.n) for line in found.annotators] == [("Anna", 5), ("user 6", 3)]
    assert (found.n, found.n_unchanged, found.n_drawn, found.n_other) == (8, 2, 4, 1)


def test_classes_go_by_their_names_of_now(app: FakeApp) -> None:
    version = add_version(app)
    add_efforts(app, 2, {"wall": Effort(n_kept=1), "plaque": Effort(n_edited=1)}, version)
    with app.store.begin() as session:
        session.get_one(ProjectRow, PROJECT).label_mapping = {"plaque": "wall"}
    (line,) = _effort(app).classes
    assert (line.name, line.n, line.n_unchanged) == ("wall", 2, 0)
    assert line.effort == Effort(n_kept=2, n_edited=2)


def test_saved_by_assumed_times_until_there_are_measured_ones(app: FakeApp) -> None:
    version = add_version(app)
    add_efforts(app, 6, EDITED, version, lead_time_s=10.0)
    add_efforts(app, 4, DRAWN, None, lead_time_s=90.0)
    found = _effort(app).saved
    assert found is not None
    assert (found.n, found.n_timed, found.n_drawn) == (6, 6, 0)
    assert found.spent_s == 60.0
    scratch = TimePerAction().seconds(DRAWN["lumen"])
    assert found.from_scratch_s == pytest.approx(6 * scratch)
    assert found.low_s is None
    add_efforts(app, 1, DRAWN, None, lead_time_s=90.0)
    measured = _effort(app).saved
    assert measured is not None
    assert measured.n_drawn == 5
    assert measured.from_scratch_s == pytest.approx(6 * 90.0)
    assert measured.saved_s == pytest.approx(6 * 80.0)
    assert measured.share == pytest.approx(8 / 9)
    # All alike: the interval has no width.
    assert measured.low_s == pytest.approx(measured.high_s)
    assert measured.low_s == pytest.approx(6 * 80.0)


def test_the_interval_holds_the_truth_and_narrows(app: FakeApp) -> None:
    version = add_version(app)
    for seconds in range(10):
        add_efforts(app, 2, EDITED, version, lead_time_s=10.0 + seconds)
        add_efforts(app, 2, DRAWN, None, lead_time_s=60.0 + 8 * seconds)
    found = _effort(app).saved
    assert found is not None
    assert found.low_s is not None
    assert found.high_s is not None
    assert found.low_s < found.saved_s < found.high_s
    # Nobody saves more than all of it.
    assert found.low_share is not None and found.high_share is not None and found.share is not None
    assert found.low_share < found.share < found.high_share <= 1.0
    assert "90 % interval" in time_in_words(found)


def test_a_clock_that_ran_over_lunch_or_not_at_all(app: FakeApp) -> None:
    version = add_version(app)
    add_efforts(app, 1, EDITED, version, lead_time_s=9 * 3600.0)
    add_efforts(app, 1, EDITED, version, lead_time_s=0.0)
    add_efforts(app, 1, EDITED, version, lead_time_s=None)
    found = _effort(app).saved
    assert found is not None
    assert (found.n, found.n_timed) == (3, 0)
    assert found.spent_s == pytest.approx(3 * TimePerAction().seconds(EDITED["lumen"]))


def test_what_nobody_opened_saved_nobody_time(app: FakeApp) -> None:
    version = add_version(app)
    add_efforts(app, 50, KEPT, version, lead_time_s=None)
    found = _effort(app)
    assert found.saved is None
    assert found.n_unchanged == 50
    add_efforts(app, 1, KEPT, version, lead_time_s=5.0)
    saved = _effort(app).saved
    assert saved is not None
    assert saved.n == 1


def test_imports_tell_nothing_about_time(app: FakeApp) -> None:
    version = add_version(app)
    add_efforts(app, 1, EDITED, version, lead_time_s=10.0)
    add_efforts(app, 20, DRAWN, None, lead_time_s=None)
    saved = _effort(app).saved
    assert saved is not None
    assert saved.n_drawn == 0


def test_who_waves_predictions_through_is_named(app: FakeApp) -> None:
    version = add_version(app)
    add_efforts(app, 20, EDITED, version, annotator_id=BEN, dice=0.8)
    add_efforts(app, 20, KEPT, version, annotator_id=ANNA, dice=1.0)
    (warning,) = _effort(app).warnings
    assert "user 5 submitted 20 of 20 predictions unchanged" in warning
    assert "others" in warning


def test_good_predictions_accuse_nobody(app: FakeApp) -> None:
    version = add_version(app)
    add_efforts(app, 18, KEPT, version, annotator_id=BEN, dice=1.0)
    # Somebody who is more careful than the others finds them nearly as good.
    add_efforts(app, 2, EDITED, version, annotator_id=BEN, dice=0.97)
    add_efforts(app, 20, KEPT, version, annotator_id=ANNA, dice=1.0)
    assert _effort(app).warnings == ()


def test_a_few_corrections_of_others_accuse_nobody(app: FakeApp) -> None:
    version = add_version(app)
    add_efforts(app, 3, EDITED, version, annotator_id=BEN, dice=0.8)
    add_efforts(app, 20, KEPT, version, annotator_id=ANNA, dice=1.0)
    assert _effort(app).warnings == ()


def test_of_a_single_annotator_held_out_cases_tell(app: FakeApp) -> None:
    version = add_version(app)
    add_efforts(app, 20, KEPT, version, annotator_id=ANNA, dice=1.0)
    assert _effort(app).warnings == ()
    _held_out(app, version, *[0.97] * 20)
    assert _effort(app).warnings == ()
    _held_out(app, version, *[0.6] * 20)
    (warning,) = _effort(app).warnings
    assert "held out" in warning


def _seconds(app: FakeApp) -> float | None:
    with app.store.read() as session:
        return seconds_per_label(session, PROJECT)


def test_what_a_label_takes_is_known_from_five_that_a_clock_has_seen(app: FakeApp) -> None:
    version = add_version(app)
    assert _seconds(app) is None
    add_efforts(app, 4, EDITED, version, lead_time_s=30.0)
    # Imported, left open over lunch, and of another kind.
    for seconds in (None, 0.0, 9 * 3600.0):
        add_efforts(app, 9, EDITED, version, lead_time_s=seconds)
    add_efforts(app, 9, DRAWN, None, lead_time_s=10.0, beginning=Beginning.OTHER)
    assert _seconds(app) is None
    add_efforts(app, 5, DRAWN, None, lead_time_s=90.0)
    assert _seconds(app) == 90.0  # before the first predictions are corrected
    add_efforts(app, 1, EDITED, version, lead_time_s=40.0)
    assert _seconds(app) == 30.0


def test_what_a_label_takes_is_told_by_the_newest(app: FakeApp) -> None:
    version = add_version(app)
    add_efforts(app, NEWEST, EDITED, version, lead_time_s=20.0, made_at="2026-03-01T10:00:00Z")
    # Of a larger id, and older: ids are reused.
    add_efforts(app, 200, EDITED, version, lead_time_s=90.0, made_at="2026-02-01T10:00:00Z")
    assert _seconds(app) == 20.0


def test_too_little_gain_per_hour_is_told_once_a_clock_has_seen_labels(app: FakeApp) -> None:
    for number, n in ((1, 30), (2, 60)):
        entries = [ManifestEntry(str(i), i, i, "hash", str(i), i % 2) for i in range(n)]
        version = add_version(app, number, manifest_of(entries))
        _held_out(app, version, *[0.9] * n)
    with app.store.begin() as session:
        row = session.get_one(ProjectRow, PROJECT)
        row.settings = row.settings.model_copy(update={"least_gain_per_hour": 0.9})
    assert project_report(app.context, PROJECT).learning.enough is None
    add_efforts(app, 5, EDITED, version, lead_time_s=600.0)
    report = project_report(app.context, PROJECT).learning
    assert report.enough is not None
    assert "hour" in report.enough.reason
