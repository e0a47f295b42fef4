"""DatasetIndex: which cases are preprocessed, under which plans, and what these were made for."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from converters.bookkeeping.files import file_names, read_json, update_json
from training.case_files import CaseFiles, png_names, remove_case
from training.folds.film import forget_films
from training.nnunet.data.plans import CONFIGURATION, PLANS
from training.workspace import Workspace

SIDE_FACTOR = 1.5
"""Plans are outgrown when the median height or width of the images has changed by this factor.

nnU-Net plans patch and network for the median image. At 1.5 times the sides a patch covers 44 % of
the image, at 1 / 1.5 the image fills 44 % of the patch: in both ways more than half is lost.
"""

CASES_FACTOR = 4
"""Plans are outgrown when the set has this many times the cases they were made from.

nnU-Net keeps a batch below 5 % of the pixels of the whole set, and the sampling error of a median
halves with 4 times the cases. Growing by factors, a set of n cases is planned log4(n) times, and
all preprocessing together costs at most 4 / 3 of the last.
"""


@dataclass(frozen=True, slots=True)
class CaseFacts:
    """What is known of a case without opening its files.

    ``content_hash`` is that of the preprocessed files, "" when there are none.
    """

    height: int
    width: int
    has_foreground: bool
    content_hash: str = ""


@dataclass(frozen=True, slots=True)
class PlannedFor:
    """The set that plans were made from: number of cases, median sides in pixels."""

    cases: int
    height: float
    width: float

    @classmethod
    def of(cls, facts: Iterable[CaseFacts]) -> PlannedFor:
        """Of at least one case."""
        rows = list(facts)
        return cls(len(rows), median(row.height for row in rows), median(row.width for row in rows))

    def outgrown_by(self, now: PlannedFor) -> str:
        """Why plans made for this set no longer suit another; "" while they do."""
        ratios = (now.height / self.height, now.width / self.width)
        if max(ratios) > SIDE_FACTOR or min(ratios) < 1 / SIDE_FACTOR:
            return (
                f"the median image has {now.height:g} x {now.width:g} pixels, planned for were "
                f"{self.height:g} x {self.width:g}"
            )
        if now.cases > CASES_FACTOR * self.cases:
            return f"there are {now.cases} cases, planned for were {self.cases}"
        return ""


@dataclass(slots=True)
class DatasetIndex:
    """index.json beside the arrays.

    Attributes:
        key: What the plans depend on besides the images, name -> JSON value. With another key
            everything is made anew.
        arrays: What the arrays depend on of the plans; see ``plans.preprocessing_key``.
        cases: By case id.
        planned_for: None without plans.
        plans: plans.json; None when plans have to be made.
    """

    key: Mapping[str, Any]
    arrays: str = ""
    cases: dict[str, CaseFacts] = field(default_factory=dict)
    planned_for: PlannedFor | None = None
    plans: dict[str, Any] | None = None

    @classmethod
    def load(cls, workspace: Workspace, key: Mapping[str, Any]) -> tuple[DatasetIndex, str]:
        """The index on disk if it was made under the same key, else an empty one, folder wiped.

        Returns:
            The index, and why the old one does not count; "" when it does, or there was none.
        """
        folder = workspace.preprocessed_dataset
        path = folder / "index.json"
        saved = read_json(path) if path.exists() else {}
        old_key = saved.get("key")
        if old_key == key and (folder / PLANS).exists():
            index = cls(
                key,
                saved["arrays"],
                {case_id: CaseFacts(*row) for case_id, row in saved["cases"].items()},
                PlannedFor(*saved["planned_for"]),
                read_json(folder / PLANS),
            )
            index._forget_lost_arrays(workspace)
            return index, ""
        shutil.rmtree(folder, ignore_errors=True)
        if not isinstance(old_key, dict):
            return cls(key), ""
        names = [*key, *(name for name in old_key if name not in key)]
        changed = [name for name in names if old_key.get(name) != key.get(name)]
        return cls(key), f"changed: {', '.join(changed)}" if changed else "plans.json was lost"

    def is_current(self, case: CaseFiles) -> bool:
        """Whether the arrays of a case are those of its files."""
        facts = self.cases.get(case.case_id)
        return facts is not None and facts.content_hash == case.content_hash

    def keep_only(self, workspace: Workspace, case_ids: set[str]) -> tuple[str, ...]:
        """Forgets every other case and removes its files, raw and preprocessed."""
        labels = png_names(workspace.label_png("x").parent)
        on_disk = {name.removesuffix(".png") for name in labels}
        removed = sorted((on_disk | self.cases.keys()) - case_ids)
        for case_id in removed:
            self.cases.pop(case_id, None)
            remove_case(workspace, case_id)
            workspace.truth_png(case_id).unlink(missing_ok=True)
            remove_arrays(arrays_folder(workspace), case_id)
        forget_films(workspace, removed)
        return tuple(removed)

    def forget_arrays(self, workspace: Workspace) -> None:
        """Removes all arrays: plans have changed what they depend on."""
        shutil.rmtree(arrays_folder(workspace), ignore_errors=True)
        self.cases = {
            case_id: CaseFacts(facts.height, facts.width, facts.has_foreground)
            for case_id, facts in self.cases.items()
        }

    def save(self, workspace: Workspace) -> None:
        """Writes index.json; needs plans."""
        assert self.planned_for is not None  # noqa: S101 - saved only once there are plans
        update_json(
            workspace.preprocessed_dataset / "index.json",
            {
                "key": dict(self.key),
                "arrays": self.arrays,
                "planned_for": astuple(self.planned_for),
                "cases": {
                    case_id: (row.height, row.width, row.has_foreground, row.content_hash)
                    for case_id, row in self.cases.items()
                },
            },
        )

    def _forget_lost_arrays(self, workspace: Workspace) -> None:
        folder = arrays_folder(workspace)
        names = file_names(folder)
        for case_id, facts in self.cases.items():
            if facts.content_hash and not names.issuperset(_array_names(case_id)):
                self.cases[case_id] = CaseFacts(facts.height, facts.width, facts.has_foreground)


def arrays_folder(workspace: Workspace) -> Path:
    """Where the preprocessed arrays of a project lie."""
    return workspace.preprocessed_dataset / f"nnUNetPlans_{CONFIGURATION}"


def remove_arrays(folder: Path, case_id: str) -> None:
    """Removes the preprocessed arrays of a case, if there are any."""
    for name in _array_names(case_id):
        (folder / name).unlink(missing_ok=True)


def _array_names(case_id: str) -> tuple[str, str, str]:
    return f"{case_id}.b2nd", f"{case_id}_seg.b2nd", f"{case_id}.pkl"
