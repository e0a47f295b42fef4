"""The learning curve of a project: quality against labels, and what more labels would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy.orm import Session

from active_learning.common_scale import on_one_scale
from active_learning.control_arm import Estimate, pool_quality
from active_learning.learning_curve import CurvePoint, Enough, Forecast, LearningCurve, enough
from backend.pipeline.progress.held_out import MOST_VERSIONS, HeldOut, LeftOutVersion, held_out_of
from backend.pipeline.queues.arms import draws_by_version
from backend.settings import ProjectSettings
from backend.store.models import ProjectRow
from backend.store.training import versions

MORE = (20, 50, 100)
"""Numbers of further labels whose gain is told."""

_BAND_POINTS = 40


@dataclass(frozen=True, slots=True)
class MeasuredVersion:
    """A version on the curve.

    Attributes:
        name: Its name.
        labels: It was trained on.
        quality: Mean Dice of an image in [0, 1] that it would reach on the cases of the newest
            version, by the cases it shares with the others.
        standard_error: Of that, 0 or more.
        held_out: The plain mean over the cases it held out itself: not comparable, since they are
            other cases in each version.
        n_held_out: How many these are.
        n_shared: Of them those that other versions on the curve held out as well.
    """

    name: str
    labels: int
    quality: float
    standard_error: float
    held_out: float
    n_held_out: int
    n_shared: int


@dataclass(frozen=True, slots=True)
class PoolPoint:
    """What people made of predictions of tasks that chance drew while a version served."""

    version: str
    labels: int
    quality: Estimate


@dataclass(frozen=True, slots=True)
class BandPoint:
    """Where the curve probably is at a number of labels."""

    labels: int
    quality: Forecast


@dataclass(frozen=True, slots=True)
class Learning:
    """What is known of a project's learning curve.

    Attributes:
        versions: On the curve, by labels. () before the first.
        newest: Name of the version that speaks for now, whose held-out cases all are compared on:
            the newest that the gate has not refused (``held_out_of``); "" = none.
        n_cases: How many these are.
        left_out: Versions that are not on the curve.
        pool: Control arm, by labels; of the newest ``MOST_VERSIONS``.
        band: () unless asked for.
        gains: Further labels -> what they add; {} as long as the versions tell nothing about that.
        missing: What is missing to tell more; "" when nothing is.
        enough: That labels are enough by what the project has set; None: they are not, nothing is
            set, or it can't be told.
        target: The quality that the project has set as enough; None: none.
        chance: The probability that it is reached on held-out images, in [0, 1]; None: no target,
            or no version.
        is_asked: Whether the project has set what is enough.
        unjudged: What it has set and can't be judged yet, and why; "" = nothing.
        seconds_per_label: What a label takes people; None where nobody knows.
    """

    versions: tuple[MeasuredVersion, ...] = ()
    newest: str = ""
    n_cases: int = 0
    left_out: tuple[LeftOutVersion, ...] = ()
    pool: tuple[PoolPoint, ...] = ()
    band: tuple[BandPoint, ...] = ()
    gains: Mapping[int, Forecast] = field(default_factory=dict)
    missing: str = ""
    enough: Enough | None = None
    target: float | None = None
    chance: float | None = None
    is_asked: bool = False
    unjudged: str = ""
    seconds_per_label: float | None = None

    @property
    def is_thin(self) -> bool:
        """Whether gains are told from two points alone."""
        return len({one.labels for one in self.versions}) == 2

    @property
    def now(self) -> MeasuredVersion | None:
        """The version that speaks for now."""
        return next((one for one in self.versions if one.name == self.newest), None)

    @property
    def labels(self) -> int:
        """Of the version with the most: gains are told from there."""
        return max((one.labels for one in self.versions), default=0)


def learning_of(
    session: Session,
    project: ProjectRow,
    *,
    seconds_per_label: float | None = None,
    with_band: bool = False,
) -> Learning:
    """The learning curve of a project, from the store alone.

    Args:
        session: Of the store.
        project: Which.
        seconds_per_label: What a label takes people; None where nobody knows.
        with_band: Whether the band is wanted, a fifth of a second's work.
    """
    compared, left_out = held_out_of(session, project)
    return conclude(
        compared,
        left_out,
        _pool_points(session, project.id),
        project.settings,
        seconds_per_label=seconds_per_label,
        with_band=with_band,
    )


def conclude(
    compared: Sequence[HeldOut],
    left_out: Sequence[LeftOutVersion],
    pool: Sequence[PoolPoint],
    settings: ProjectSettings,
    *,
    seconds_per_label: float | None = None,
    with_band: bool = False,
) -> Learning:
    """``learning_of`` from what versions made of their held-out cases.

    The last version of ``compared`` speaks for now.
    """
    is_asked = settings.target_quality is not None or settings.least_gain_per_hour is not None
    if not compared:
        return Learning(
            left_out=tuple(left_out),
            pool=tuple(pool),
            missing="no version has held-out cases yet; the first training brings one",
            target=settings.target_quality,
            is_asked=is_asked,
            unjudged=_unjudged(settings, seconds_per_label, tells=False),
            seconds_per_label=seconds_per_label,
        )
    reference = len(compared) - 1
    scale = on_one_scale([one.qualities for one in compared], reference)
    is_on = np.isfinite(scale.quality)
    errors = np.sqrt(np.diag(scale.covariance))
    measured = [
        MeasuredVersion(
            name=one.name,
            labels=one.labels,
            quality=float(scale.quality[i]),
            standard_error=float(errors[i]),
            held_out=float(np.mean(list(one.qualities.values()))),
            n_held_out=len(one.qualities),
            n_shared=int(scale.n_shared[i]),
        )
        for i, one in enumerate(compared)
        if is_on[i]
    ]
    apart = [
        LeftOutVersion(one.name, "it shares too few unchanged cases with the others")
        for i, one in enumerate(compared)
        if not is_on[i]
    ]
    curve = LearningCurve(
        [CurvePoint(one.labels, one.quality, one.standard_error) for one in measured],
        scale.covariance[np.ix_(is_on, is_on)],
    )
    target = settings.target_quality
    tells = len({one.labels for one in measured}) > 1
    newest = compared[reference].name
    return Learning(
        versions=tuple(sorted(measured, key=lambda one: one.labels)),
        newest=newest,
        n_cases=scale.n_cases,
        left_out=(*left_out, *apart),
        pool=tuple(pool),
        band=_band(curve) if with_band and tells else (),
        gains={more: curve.gain(more) for more in MORE} if tells else {},
        missing="" if tells else "it takes two versions with different numbers of labels",
        enough=enough(
            curve,
            target=target,
            least_gain_per_hour=settings.least_gain_per_hour if tells else None,
            seconds_per_label=seconds_per_label,
            on_pool=next((one.quality for one in pool if one.version == newest), None),
        ),
        target=target,
        chance=None if target is None else curve.chance_of(target),
        is_asked=is_asked,
        unjudged=_unjudged(settings, seconds_per_label, tells=tells),
        seconds_per_label=seconds_per_label,
    )


def _unjudged(settings: ProjectSettings, seconds_per_label: float | None, *, tells: bool) -> str:
    """Why the gain per hour can't be judged, where it was set."""
    if settings.least_gain_per_hour is None:
        return ""
    if not tells:
        return "gain per hour: it takes two versions with different numbers of labels"
    if seconds_per_label is None:
        return "gain per hour: nobody knows yet what a label takes (nnloop effort)"
    return ""


def _band(curve: LearningCurve) -> tuple[BandPoint, ...]:
    lowest, highest = curve.points[0].labels, curve.labels + max(MORE)
    places = sorted({round(n) for n in np.geomspace(lowest, highest, _BAND_POINTS)})
    return tuple(map(BandPoint, places, curve.band(places)))


def _pool_points(session: Session, project_id: int) -> list[PoolPoint]:
    by_version = draws_by_version(session, project_id)
    found = []
    for one in versions.briefs_of(session, project_id) if by_version else ():
        quality = pool_quality(by_version.get(one.id, ()))
        if quality is not None:
            found.append(PoolPoint(one.name, one.labels, quality))
    # The newest: a project may have had hundreds of versions.
    return sorted(found[-MOST_VERSIONS:], key=lambda point: point.labels)
