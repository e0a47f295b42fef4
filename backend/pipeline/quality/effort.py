"""Effort of a project: what its labels cost people, and what predictions saved them."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from active_learning.effort import (
    FEWEST,
    GOOD_ENOUGH,
    Corrected,
    Effort,
    TimePerAction,
    acceptance,
    at_most,
    saved,
    saved_interval,
)
from backend.pipeline.basis.annotations import label_names_of
from backend.pipeline.basis.report import Report
from backend.store.models import ProjectRow, VersionRow
from backend.store.quality import efforts
from backend.store.quality.efforts import EffortRow
from backend.store.tasks import queues
from backend.store.training import versions
from converters.label_studio.beginnings import Beginning
from domain.text import counted
from training.evaluation import image_dice


@dataclass(frozen=True, slots=True)
class EffortLine:
    """What was done to the predictions of a version, of a class, or by an annotator.

    Attributes:
        name: Of which; an annotator's as on their tab.
        n: Annotations that began with a prediction; of a class those in which either side has it.
        n_unchanged: Of them, submitted as predicted.
        effort: All of it, added up.
        median_s: Seconds by Label Studio's clock; None where too few were timed, and of a class.
        dice: Mean Dice of prediction and annotation, in [0, 1]; None unknown.
    """

    name: str
    n: int
    n_unchanged: int
    effort: Effort
    median_s: float | None
    dice: float | None

    @property
    def n_edited(self) -> int:
        """Of the annotations, those in which something was changed."""
        return self.n - self.n_unchanged


@dataclass(frozen=True, slots=True)
class SavedTime:
    """Time that predictions saved, against drawing the same regions from nothing.

    Attributes:
        n: Annotations that began with a prediction; those are not among them that were submitted
            as predicted with no time on the clock: nobody opened them.
        n_timed: Of them, with a time by Label Studio's clock that can be believed.
        spent_s: Seconds they took; by the times of actions where no clock ran.
        from_scratch_s: Seconds that drawing them would have taken.
        n_drawn: Annotations drawn from nothing, of which the times of actions were measured;
            0: they are assumed.
        low_s: Saved at least, and
        high_s: at most so many seconds (90 % interval); None where too little was measured.
        low_share: Of the time from nothing at least, and
        high_share: at most this share was saved (90 % interval); None as above.
    """

    n: int
    n_timed: int
    spent_s: float
    from_scratch_s: float
    n_drawn: int
    low_s: float | None = None
    high_s: float | None = None
    low_share: float | None = None
    high_share: float | None = None

    @property
    def saved_s(self) -> float:
        """Seconds saved; below 0 where correcting took longer than drawing."""
        return self.from_scratch_s - self.spent_s

    @property
    def share(self) -> float | None:
        """Of the time from nothing; None where that is 0."""
        return self.saved_s / self.from_scratch_s if self.from_scratch_s > 0 else None


@dataclass(frozen=True, slots=True)
class ProjectEffort:
    """What labels cost in a project.

    Attributes:
        versions: By the version whose prediction was corrected, the oldest first.
        classes: By the class that a region ended with, as it is called now.
        annotators: By who submitted, who corrected most first.
        saved: None before the first correction.
        n_drawn: Annotations drawn from nothing.
        n_other: Annotations of which nobody can tell what they began with, or that began with
            another program's prediction.
        warnings: Whose acceptance is far above what quality allows: sentences.
    """

    versions: tuple[EffortLine, ...] = ()
    classes: tuple[EffortLine, ...] = ()
    annotators: tuple[EffortLine, ...] = ()
    saved: SavedTime | None = None
    n_drawn: int = 0
    n_other: int = 0
    warnings: tuple[str, ...] = field(default=())

    @property
    def n(self) -> int:
        """Annotations that began with a prediction."""
        return sum(line.n for line in self.versions)

    @property
    def n_unchanged(self) -> int:
        """Of them, submitted as predicted."""
        return sum(line.n_unchanged for line in self.versions)


class EffortReport(Report):
    """What `nnloop status` says of effort; seconds are None where nobody has corrected anything.

    ``n_drawn`` as in ``SavedTime``.
    """

    n: int
    n_unchanged: int
    saved_s: float | None
    from_scratch_s: float | None
    n_drawn: int
    warnings: tuple[str, ...]


def effort_report(session: Session, project: ProjectRow) -> EffortReport | None:
    """In short; None before the first annotation that began with a prediction."""
    found = effort_of_project(session, project, with_interval=False)
    if not found.n:
        return None
    time = found.saved
    return EffortReport(
        n=found.n,
        n_unchanged=found.n_unchanged,
        saved_s=time.saved_s if time else None,
        from_scratch_s=time.from_scratch_s if time else None,
        n_drawn=time.n_drawn if time else 0,
        warnings=found.warnings,
    )


def effort_of_project(
    session: Session, project: ProjectRow, *, with_interval: bool = True
) -> ProjectEffort:
    """What labels cost, from what was measured when they were first read.

    Args:
        session: Of the store; nothing is written.
        project: Whose.
        with_interval: Of the time saved too, which takes some tenths of a second.
    """
    rows = efforts.rows_of(session, project.id)
    begun, drawn = (
        [_Measured.of(row) for row in rows if Beginning(row.beginning) is what]
        for what in (Beginning.PREDICTION, Beginning.NOTHING)
    )
    known = {version.id: version for version in versions.versions_of(session, project.id)}
    names = {tab.annotator_id: tab.name for tab in queues.tabs(session, project.id)}
    by_version: dict[int, list[_Measured]] = defaultdict(list)
    by_annotator: dict[int | None, list[_Measured]] = defaultdict(list)
    for one in begun:
        by_annotator[one.row.annotator_id].append(one)
        if one.row.version_id is not None:
            by_version[one.row.version_id].append(one)
    return ProjectEffort(
        versions=tuple(
            _line(known[version_id].name, by_version[version_id])
            for version_id in sorted(by_version)
        ),
        classes=_class_lines(begun, project),
        annotators=tuple(
            _line(_name(annotator_id, names), of_one)
            for annotator_id, of_one in sorted(
                by_annotator.items(), key=lambda item: (-len(item[1]), item[0] or 0)
            )
        ),
        saved=_saved(begun, drawn, with_interval=with_interval),
        n_drawn=len(drawn),
        n_other=len(rows) - len(begun) - len(drawn),
        warnings=tuple(_warnings(by_annotator, known, names)),
    )


NEWEST = 50
"""Annotations whose times tell what a label takes people now: they get quicker."""


def seconds_per_label(session: Session, project_id: int) -> float | None:
    """What a label takes people now: the median of the newest times by Label Studio's clock.

    Of annotations that began with a prediction, as the next ones will; where fewer than ``FEWEST``
    of these were timed, of those drawn from nothing; None where these are too few as well.
    """
    for beginning in (Beginning.PREDICTION, Beginning.NOTHING):
        times = efforts.newest_times(session, project_id, beginning, NEWEST)
        if len(times) >= FEWEST:
            return statistics.median(times)
    return None


def _name(annotator_id: int | None, names: Mapping[int, str]) -> str:
    return "unknown" if annotator_id is None else names.get(annotator_id, f"user {annotator_id}")


@dataclass(frozen=True, slots=True)
class _Measured:
    """A row, and all that was done in it."""

    row: EffortRow
    corrected: Corrected

    @classmethod
    def of(cls, row: EffortRow) -> _Measured:
        effort = Effort.sum_of(row.classes.values())
        return cls(row, Corrected(effort, row.n_points, row.n_regions, row.lead_time_s))

    @property
    def effort(self) -> Effort:
        return self.corrected.effort


def _line(name: str, measured: Sequence[_Measured]) -> EffortLine:
    clocks = [clock for one in measured if (clock := one.corrected.clock_s) is not None]
    return EffortLine(
        name=name,
        n=len(measured),
        n_unchanged=sum(one.effort.is_unchanged for one in measured),
        effort=Effort.sum_of(one.effort for one in measured),
        median_s=statistics.median(clocks) if len(clocks) >= FEWEST else None,
        dice=_mean(one.row.dice for one in measured),
    )


def _class_lines(measured: Sequence[_Measured], project: ProjectRow) -> tuple[EffortLine, ...]:
    """Under the names of now; two classes that became one are one."""
    names = label_names_of(project)
    found: dict[str, list[Effort]] = defaultdict(list)
    dices: dict[str, list[float]] = defaultdict(list)
    for row in (one.row for one in measured):
        of_row: dict[str, Effort] = {}
        for label, effort in row.classes.items():
            name = names.now(label) or label
            of_row[name] = of_row[name] + effort if name in of_row else effort
        for name, effort in of_row.items():
            found[name].append(effort)
        for label, dice in row.dice_per_class.items():
            if dice is not None:
                dices[names.now(label) or label].append(dice)
    order = {name: position for position, name in enumerate(names.present)}
    return tuple(
        EffortLine(
            name=name,
            n=len(found[name]),
            n_unchanged=sum(one.is_unchanged for one in found[name]),
            effort=Effort.sum_of(found[name]),
            median_s=None,
            dice=_mean(dices.get(name, ())),
        )
        for name in sorted(found, key=lambda name: (order.get(name, len(order)), name))
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _saved(
    begun: Sequence[_Measured], drawn: Sequence[_Measured], *, with_interval: bool
) -> SavedTime | None:
    corrected = [
        one.corrected for one in begun if one.row.lead_time_s or not one.effort.is_unchanged
    ]
    if not corrected:
        return None
    timed = [(one.effort, one.row.lead_time_s or 0.0) for one in drawn]
    times = TimePerAction.measured(timed)
    found = saved(corrected, times)
    between = saved_interval(corrected, timed) if with_interval else None
    return SavedTime(
        n=found.n,
        n_timed=found.n_timed,
        spent_s=found.spent_s,
        from_scratch_s=found.from_scratch_s,
        n_drawn=times.n,
        low_s=between.low_s if between else None,
        high_s=between.high_s if between else None,
        low_share=between.low_share if between else None,
        high_share=between.high_share if between else None,
    )


@dataclass(frozen=True, slots=True)
class _Chance:
    """The highest chance that a prediction is good enough, and who says so."""

    value: float
    is_of_people: bool


def _warnings(
    by_annotator: Mapping[int | None, Sequence[_Measured]],
    known: Mapping[int, VersionRow],
    names: Mapping[int, str],
) -> Iterable[str]:
    """Of each annotator who submits more predictions unchanged than others find good enough.

    A prediction is good enough when somebody else left it as it was, or nearly: people who see a
    prediction keep what they would have drawn a little otherwise. Where too few others have
    corrected a version, the cases that its folds held out say how often it was as good.
    """
    good: Counter[tuple[int | None, int | None]] = Counter()
    seen: Counter[tuple[int | None, int | None]] = Counter()
    for annotator_id, measured in by_annotator.items():
        for one in measured:
            is_good = one.effort.is_unchanged or (one.row.dice or 0.0) >= GOOD_ENOUGH
            for who in (annotator_id, _EVERYBODY):
                seen[one.row.version_id, who] += 1
                good[one.row.version_id, who] += is_good
    for annotator_id, measured in by_annotator.items():
        chances: dict[int | None, _Chance | None] = {}
        for version_id in {one.row.version_id for one in measured}:
            own, all_ = (version_id, annotator_id), (version_id, _EVERYBODY)
            n_others = seen[all_] - seen[own]
            if n_others >= FEWEST:
                chances[version_id] = _Chance(at_most(good[all_] - good[own], n_others), True)
            elif version_id is not None and version_id in known:
                chances[version_id] = _of_held_out(known[version_id])
        judged = [
            (one.effort.is_unchanged, chance)
            for one in measured
            if (chance := chances.get(one.row.version_id)) is not None
        ]
        found = acceptance([chance.value for _, chance in judged], [kept for kept, _ in judged])
        if found.is_suspicious:
            kinds = {chance.is_of_people for _, chance in judged}
            yield (
                f"{_name(annotator_id, names)} submitted {found.n_unchanged} of "
                f"{counted(found.n, 'prediction')} unchanged, where at most "
                f"{found.expected:.0%} are good enough by {_WHO_SAYS[frozenset(kinds)]}. "
                "Look through some of them."
            )


_EVERYBODY = -1
"""In the place of an annotator's id."""

_WHO_SAYS = {
    frozenset((True,)): "what others made of the same versions' predictions",
    frozenset((False,)): "the cases that these versions held out",
    frozenset((True, False)): "what others made of such predictions, and by held-out cases",
}


def _of_held_out(version: VersionRow) -> _Chance | None:
    dice = [image_dice(of_case.values()) for of_case in version.metrics.dice_per_case.values()]
    if len(dice) < FEWEST:
        return None
    return _Chance(at_most(sum(one >= GOOD_ENOUGH for one in dice), len(dice)), False)
