"""Asks the questions one after the other, each within its time, and mends what may be mended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy.exc import SQLAlchemyError

from backend.deadline import OutOfTimeError, within
from backend.doctor.check import Check, Finding, NotLookedError, State, not_looked, wrong
from backend.doctor.patient import Patient
from domain.errors import NnloopError
from domain.text import one_line

MEND_S = 60.0
"""Longest time of one mending: Label Studio asks nnloop back while a backend is registered."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A check with one finding.

    ``lacks`` names what is missing where it could not be looked at for that; ``mended`` says what
    ``--fix`` did before the finding was made; ``seconds`` is what looking took; ``project_id`` is
    None for what is no project's.
    """

    check: Check
    finding: Finding
    project_id: int | None = None
    lacks: str = ""
    mended: str = ""
    seconds: float = 0.0


@dataclass
class Examination:
    """Runs checks and remembers what is not there, so that nothing is waited for twice.

    Attributes:
        fixes: Whether to mend what may be mended.
        on_look: Told each finding as it comes.
        looked: All of them.
    """

    fixes: bool = False
    on_look: Callable[[Looked], None] = lambda _: None
    looked: list[Looked] = field(default_factory=list)

    def run(self, checks: Sequence[Check], patient: Patient) -> None:
        """Asks each question of an installation, or of one project of it."""
        for check in checks:
            for one in self._ask(check, patient):
                self.looked.append(one)
                self.on_look(one)

    def _ask(self, check: Check, patient: Patient) -> list[Looked]:
        missing = next((need for need in check.needs if need not in patient.there), None)
        if missing is not None:
            finding = not_looked(LACKS[missing])
            return [Looked(check, finding, patient.project_id, lacks=missing)]
        began = time.monotonic()
        findings = _look(check, patient)
        mended, failed = self._mend(findings) if self.fixes else ("", "")
        if mended:
            findings = _look(check, patient)
        if failed:
            findings = [
                replace(one, answer=f"{one.answer} It could not be mended: {failed}")
                if one.mend is not None
                else one
                for one in findings
            ]
        if check.provides and all(one.state in (State.FINE, State.NOTE) for one in findings):
            patient.there.add(check.provides)
        seconds = time.monotonic() - began
        return [
            replace(
                Looked(check, one, patient.project_id),
                mended=mended if number == 0 else "",
                seconds=seconds if number == 0 else 0.0,
            )
            for number, one in enumerate(findings)
        ]

    def _mend(self, findings: Sequence[Finding]) -> tuple[str, str]:
        """What was mended, and why the rest was not."""
        done, failed = [], []
        for one in findings:
            if one.mend is None:
                continue
            try:
                done.append(within(MEND_S, one.mend))
            except OutOfTimeError as error:
                failed.append(str(error))
            except NnloopError as error:
                failed.append(error.in_full)
            except (OSError, SQLAlchemyError) as error:
                failed.append(one_line(error) or type(error).__name__)
        return " ".join(done), " ".join(failed)


LACKS = {
    "folder": "the data folder can't be used",
    "store": "the store can't be read",
    "redis": "Redis does not answer",
    "label_studio_there": "Label Studio does not answer",
    "label_studio": "Label Studio does not answer, or refuses the key",
    "project": "the project is not in Label Studio, or can't be read there",
    "connected": "the project is not connected",
    "held": "the backends and webhooks of the project could not be read",
    "webhook": "there is no webhook that could fire",
    "service": "nnloop's web service does not answer",
    "interface": "the labelling interface can't be read",
}


def _look(check: Check, patient: Patient) -> list[Finding]:
    try:
        found = within(check.deadline_s, lambda: _listed(check, patient))
    except OutOfTimeError:
        late = f"no answer within {check.deadline_s:g} s"
        found = [wrong(f"{check.late} ({late}).", check.late_fix)] if check.late else []
        return found or [not_looked(late)]
    except NotLookedError as error:
        return [not_looked(str(error))]
    except NnloopError as error:
        return [not_looked(str(error).rstrip("."), error.remedy)]
    except Exception as error:  # noqa: BLE001 - what is odd for one check must not end the others
        return [not_looked(f"{type(error).__name__}: {one_line(error)}")]
    return found or [not_looked("there is nothing to look at")]


def _listed(check: Check, patient: Patient) -> list[Finding]:
    found = check.look(patient)
    return [found] if isinstance(found, Finding) else list(found)
