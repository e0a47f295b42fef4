"""What the queues of a project stand at, from the store alone."""

from __future__ import annotations

from sqlalchemy.orm import Session

from active_learning.control_arm import ENOUGH, FEWEST, gain, n_waiting, pool_quality
from backend.label_studio.views import tab_page
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.query_strategy import wanted_strategy
from backend.pipeline.basis.report import Report
from backend.pipeline.queues.arms import draws_of
from backend.pipeline.queues.pool import (
    BEGUN,
    BY_CHANCE,
    CHANCE,
    scoring_version,
)
from backend.settings import Settings
from backend.store import projects
from backend.store.tasks import queues
from domain.text import counted, signed


class TabReport(Report):
    """An annotator's tab: its address, and how much of their batch is left.

    ``left`` tasks wait in it, of ``length`` that were drawn for it; ``strategy`` is what drew them.
    """

    annotator_id: int
    name: str
    title: str
    url: str
    left: int
    length: int
    strategy: str


class EstimateReport(Report):
    """A mean of n values and its 90 % interval."""

    n: int
    mean: float
    low: float
    high: float


class GainReport(Report):
    """Error (1 - Dice) that the strategy found per label, less what chance would have found.

    ``n`` labels of the strategy; the interval is 90 %. ``pays`` is None while too few tasks tell.
    """

    strategy: str
    n: int
    strategy_error: float
    control_error: float
    mean: float
    low: float
    high: float
    pays: bool | None


class ControlArmReport(Report):
    """What the control arm of a project tells; see ``active_learning.control_arm``.

    ``n_waiting`` corrected predictions do not count yet: their batch is not done.
    """

    quality: EstimateReport
    gain: GainReport | None
    n_waiting: int = 0

    @property
    def is_few(self) -> bool:
        """Whether chance drew so few tasks that figures of them would only mislead."""
        return self.quality.n < FEWEST


def control_arm_of(session: Session, project_id: int) -> ControlArmReport | None:
    """What the control arm tells; None before a batch with one is done."""
    draws = draws_of(session, project_id)
    quality = pool_quality(draws)
    if quality is None:
        return None
    strategy = _strategy(session, project_id)
    found = gain(draws_of(session, project_id, strategy)) if strategy else None
    return ControlArmReport(
        quality=EstimateReport(n=quality.n, mean=quality.mean, low=quality.low, high=quality.high),
        gain=None
        if found is None
        else GainReport(
            strategy=strategy,
            n=found.n,
            strategy_error=found.strategy_error,
            control_error=found.control_error.mean,
            mean=found.mean,
            low=found.low,
            high=found.high,
            pays=found.pays,
        ),
        n_waiting=n_waiting(draws),
    )


def sentence_of(report: ControlArmReport | None) -> str:
    """How good predictions are on the whole, and what the strategy finds beside chance."""
    if report is None or report.is_few:
        return (
            "too few to tell how good predictions are on the whole, or whether choosing tasks "
            f"pays: {too_few(report)}"
        )
    quality = report.quality
    words = (
        f"Dice {quality.mean:.2f} ({quality.low:.2f} to {quality.high:.2f}) of predictions on the "
        f"whole, by {counted(quality.n, 'task')} drawn by chance"
    )
    if report.gain is None:
        return words
    gain = report.gain
    words += f"; {gain.strategy} finds {beside_chance(gain.mean, gain.low, gain.high)}"
    if gain.pays is None:
        words += f": too few to tell whether it pays ({quality.n} of {ENOUGH} drawn by chance)"
    elif not gain.pays:
        words += ": it does not pay (turn_to_random would draw by chance)"
    return words


def too_few(report: ControlArmReport | None) -> str:
    """What is known of how many that are needed: ``2 of 10 labels drawn by chance``, and more."""
    n = report.quality.n if report else 0
    words = f"{n} of {FEWEST} labels drawn by chance are there"
    waiting = report.n_waiting if report else 0
    if waiting:
        return f"{words}, and {counted(waiting, 'more label')} in batches that are not done"
    return words if n else f"{words} (they count once their batch is done)"


def beside_chance(mean: float, low: float, high: float) -> str:
    """How much more there is to correct in what a strategy chose, or how much less.

    >>> beside_chance(-0.05, -0.69, 0.02)
    '0.05 less to correct per label than chance (90 % interval -0.69 to +0.02)'
    """
    interval = f"(90 % interval {signed(low, 2)} to {signed(high, 2)})"
    if not round(mean, 2):
        return f"as much to correct per label as chance {interval}"
    word = "more" if mean > 0 else "less"
    return f"{abs(mean):.2f} {word} to correct per label than chance {interval}"


def _strategy(session: Session, project_id: int) -> str:
    """The strategy to judge: what is asked for, or what last acted for it; "" = none yet."""
    version = scoring_version(session, project_id)
    settings = projects.get(session, project_id).settings
    wanted = wanted_strategy(settings, version.id if version else None)
    acted = queues.strategies(session, project_id)
    if wanted in acted:
        return wanted
    judged = [name for name in acted if name not in (BEGUN, CHANCE, BY_CHANCE)]
    return judged[-1] if judged else ""


def tab_reports(context: AppContext, project_id: int) -> tuple[TabReport, ...]:
    """The tabs of a project, by annotator."""
    with context.store.read() as session:
        return tabs_in(session, project_id, context.settings)


def tabs_in(session: Session, project_id: int, settings: Settings) -> tuple[TabReport, ...]:
    """``tab_reports`` within a session."""
    sizes = queues.sizes(session, project_id)
    found = []
    for row in queues.tabs(session, project_id):
        size = sizes.get(row.annotator_id, queues.Size())
        found.append(
            TabReport(
                annotator_id=row.annotator_id,
                name=row.name,
                title=row.title,
                url=tab_page(settings.label_studio_url, project_id, row.view_id),
                left=size.left,
                length=size.length,
                strategy=size.strategy,
            )
        )
    return tuple(found)
