"""Which labels of a project are doubtful, in words for people."""

from __future__ import annotations

from pydantic import Field
from sqlalchemy.orm import Session

from active_learning.label_qa import LEAST_CASES
from backend.label_studio.views import tab_page
from backend.pipeline.basis.annotations import label_names_of
from backend.pipeline.basis.context import AppContext
from backend.pipeline.basis.report import Report
from backend.pipeline.doubts.current import DoubtedNow, doubted_now
from backend.pipeline.doubts.keep import may_doubt
from backend.settings import Settings
from backend.store import projects
from backend.store.models import ProjectRow, VersionRow
from backend.store.quality import doubts
from backend.store.training import versions
from domain.doubts import Box, DoubtKind
from domain.states import VersionOrigin
from domain.text import counted

WEAK = 0.6
"""Held-out Dice of a class below which doubts of it are often the version's own faults."""

MOST_WEAK = 3
"""Classes that are named."""


class DoubtReport(Report):
    """One thing that may be wrong with a label: what, in which class, where, and in words.

    ``label`` and ``other`` are classes: what is drawn and what the model sees, for a missing object
    what it sees and "". ``box`` is left, top, width, height in pixels.
    """

    kind: DoubtKind
    label: str
    other: str
    box: Box
    strength: float
    sentence: str


class DoubtedLabelReport(Report):
    """A label that a person should look at again.

    ``annotators`` are Label Studio's ids of who submitted it. The first of ``doubts`` stands out
    most: a share ``rarity`` of all labels has one of its kind that is as strong.
    """

    task_id: int
    annotation_id: int
    annotators: tuple[int, ...]
    version: str
    rarity: float
    doubts: tuple[DoubtReport, ...]

    @property
    def kind(self) -> DoubtKind:
        """Of the doubt that stands out most; so are the following."""
        return self.doubts[0].kind

    @property
    def label(self) -> str:
        """The class in question."""
        return self.doubts[0].label

    @property
    def box(self) -> Box:
        """Where: left, top, width, height in pixels."""
        return self.doubts[0].box

    @property
    def sentence(self) -> str:
        """What speaks against the label."""
        return self.doubts[0].sentence


class CheckReport(Report):
    """The doubtful labels of a project, the most doubtful first, and the tab that lists them.

    ``version`` is the newest that was trained here and is good enough to doubt, and ``n_compared``
    the labels that its folds had held out; "" and 0 before the first. ``serving`` is the version
    that serves. ``n_checked`` were found right by a person since. ``tab_url`` is "" while there is
    no tab. ``weak`` are the classes that ``version`` finds badly, the worst first, with their
    held-out Dice.
    """

    version: str
    serving: str
    n_compared: int
    n_checked: int
    tab_url: str
    labels: tuple[DoubtedLabelReport, ...]
    weak: dict[str, float] = Field(default_factory=dict)

    @property
    def remark(self) -> str:
        """How good the version is that doubts, where it is not; "" where it is."""
        if not self.weak:
            return ""
        named = [f"{name} {dice:.2f}" for name, dice in self.weak.items()][:MOST_WEAK]
        more = f" and {len(self.weak) - MOST_WEAK} more" if len(self.weak) > MOST_WEAK else ""
        return (
            f"{self.version} itself finds some classes badly (held-out Dice: {', '.join(named)}"
            f"{more}): expect false alarms."
        )

    @property
    def why_none(self) -> str:
        """Why no label is doubted, in one sentence; "" where some are."""
        if self.labels:
            return ""
        if not self.version:
            return (
                "No version was trained here yet: labels are compared with predictions of networks "
                "that have not seen them. Ensembles and imported versions have none."
            )
        if not self.n_compared:
            return (
                f"{self.version} has held no label out (all are of one group), so none can be "
                "compared with a prediction that has not seen it."
            )
        if self.n_compared < LEAST_CASES:
            return (
                f"Only {counted(self.n_compared, 'label')} could be compared with predictions that "
                f"have not seen them; what stands out can be told from {LEAST_CASES} on."
            )
        found = f"None of the {counted(self.n_compared, 'label')} that {self.version} was trained"
        verb = "was" if self.n_checked == 1 else "were"
        checked = f" ({self.n_checked} {verb} found right)" if self.n_checked else ""
        return f"{found} on stands out against predictions that have not seen it{checked}."


def doubted_labels_of(session: Session, project: ProjectRow) -> list[DoubtedLabelReport]:
    """The labels of a project that are doubtful as they are now, the most doubtful first.

    Empty before the first version that was trained here; ensembles and versions trained elsewhere
    doubt nothing.
    """
    names: dict[int, str] = {}
    found = []
    for one in doubted_now(session, project):
        if one.row.version_id not in names:
            names[one.row.version_id] = session.get_one(VersionRow, one.row.version_id).name
        found.append(_label(one, names[one.row.version_id]))
    return found


def count_doubted(session: Session, project: ProjectRow) -> int:
    """How many labels of a project are doubtful."""
    return len(doubted_now(session, project))


def check_report(context: AppContext, project_id: int) -> CheckReport:
    """What `nnloop qa` says; NotConnectedError when nnloop does not know the project."""
    with context.store.read() as session:
        project = projects.get(session, project_id)
        labels = tuple(doubted_labels_of(session, project))
        trained = [
            version
            for version in versions.versions_of(session, project_id)
            if VersionOrigin(version.origin) == VersionOrigin.TRAINED
            and may_doubt(version.metrics.gate)
        ]
        newest = trained[-1] if trained else None
        champion = versions.champion(session, project_id)
        checked = [r for r in doubts.doubts_of(session, project_id) if r.checked_at is not None]
        return CheckReport(
            version=newest.name if newest else "",
            serving=champion.name if champion else "",
            n_compared=len(newest.metrics.dice_per_case) if newest else 0,
            n_checked=len(checked),
            tab_url=_tab_url(session, project_id, context.settings),
            labels=labels,
            weak=_weak(project, newest) if newest else {},
        )


def _weak(project: ProjectRow, version: VersionRow) -> dict[str, float]:
    """Under the names of now."""
    dice = label_names_of(project).renamed(version.metrics.oof_dice)
    found = {name: value for name, value in dice.items() if value is not None and value < WEAK}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _label(one: DoubtedNow, version: str) -> DoubtedLabelReport:
    return DoubtedLabelReport(
        task_id=one.row.task_id,
        annotation_id=one.label.annotated.annotation_id,
        annotators=one.label.annotators,
        version=version,
        rarity=one.row.rarity,
        doubts=tuple(
            DoubtReport(
                kind=doubt.kind,
                label=doubt.label,
                other=doubt.other,
                box=doubt.box,
                strength=doubt.strength,
                sentence=doubt.sentence,
            )
            for doubt in one.doubts
        ),
    )


def _tab_url(session: Session, project_id: int, settings: Settings) -> str:
    row = doubts.check_tab(session, project_id)
    if row is None:
        return ""
    return tab_page(settings.label_studio_url, project_id, row.view_id)
