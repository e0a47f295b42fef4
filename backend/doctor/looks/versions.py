"""Versions against what they are tested with, and clocks against each other."""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from backend.doctor.check import Check, Finding, NotLookedError, fine, note, wrong
from backend.doctor.looks.machine import file_clock_ahead_s
from backend.doctor.patient import Patient
from backend.stack.install import LABEL_STUDIO_VERSION
from domain.errors import NnloopError
from domain.text import counted

CLOCK_S = 5.0
"""By so much clocks may differ: what a worker holds, it holds for 15 to 20 s by its own clock."""

_SLACK_S = 2.0
"""Label Studio tells whole seconds, and the answer takes a moment."""

_REQUIREMENT = re.compile(r"([A-Za-z0-9][\w.-]*)(?:\[[^]]*\])?\s*\(?([^;)]*)\)?\s*(;.*)?")
_PART = re.compile(r"\s*(>=|<=|==|!=|<|>|~=)\s*([\w.]+)\s*")


def packages(_: Patient) -> Finding:
    """Whether the libraries here are those that this nnloop asks for."""
    bad, n_seen = [], 0
    for name, wanted in required():
        n_seen += 1
        try:
            found = version(name)
        except PackageNotFoundError:
            bad.append(f"{name} is missing ({wanted})")
            continue
        if not is_within(found, wanted):
            bad.append(f"{name} {found} is not {wanted}")
    if not n_seen:
        raise NotLookedError("nnloop is not installed as a package here")
    if bad:
        return wrong(
            f"{counted(len(bad), 'library', 'libraries')} not as nnloop asks for: "
            f"{'; '.join(bad)}.",
            "Install nnloop anew: pip install -c constraints.txt . in its checkout, or make setup",
        )
    return fine(
        f"nnloop {version('nnloop')}, Python {platform.python_version()}, torch {version('torch')},"
        f" nnU-Net {version('nnunetv2')}"
    )


def required() -> Iterator[tuple[str, str]]:
    """(name, range) of each library that nnloop asks for, extras left out."""
    try:
        lines = requires("nnloop") or []
    except PackageNotFoundError:
        return
    for line in lines:
        found = _REQUIREMENT.fullmatch(line.strip())
        if found and "extra" not in (found.group(3) or ""):
            yield found.group(1), found.group(2).strip()


def is_within(found: str, wanted: str) -> bool:
    """Whether a version is in a range of releases.

    >>> is_within("2.8.0+cpu", ">=2.6,<2.14"), is_within("3.0", ">=2.8,<3")
    (True, False)
    """
    tests: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
        ">=": lambda a, b: a >= b,
        "<=": lambda a, b: a <= b,
        "==": lambda a, b: a == b,
        "!=": lambda a, b: a != b,
        "<": lambda a, b: a < b,
        ">": lambda a, b: a > b,
        "~=": lambda a, b: a >= b,
    }
    parts = [_PART.fullmatch(part) for part in wanted.split(",") if part.strip()]
    return all(
        tests[part.group(1)](*_even(_numbers(found), _numbers(part.group(2))))
        for part in parts
        if part is not None
    )


def _numbers(text: str) -> tuple[int, ...]:
    release = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in release.group().split(".")) if release else ()


def _even(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    length = max(len(a), len(b))
    return a + (0,) * (length - len(a)), b + (0,) * (length - len(b))


def label_studio_version(patient: Patient) -> Finding:
    """Whether Label Studio is the release that everything was measured with."""
    found = patient.client.version()
    if _numbers(found)[:2] == _numbers(LABEL_STUDIO_VERSION)[:2]:
        return fine(f"Label Studio {found}")
    word = "older" if _numbers(found) < _numbers(LABEL_STUDIO_VERSION) else "newer"
    return note(
        f"Label Studio {found} is {word} than {LABEL_STUDIO_VERSION}, which nnloop is tested with.",
        f"If something is odd, install that one: pip install label-studio=={LABEL_STUDIO_VERSION}",
    )


def clocks(patient: Patient) -> Finding:
    """Whether the clocks of Redis, database, disk and Label Studio agree with this machine's."""
    told: dict[str, float] = {}
    silent = []
    for name, (need, ahead_of) in _CLOCKS.items():
        if need not in patient.there:
            silent.append(name)
            continue
        try:
            found = ahead_of(patient)
        except (NnloopError, NotLookedError, SQLAlchemyError, OSError, ValueError):
            silent.append(name)
            continue
        if found is not None:
            told[name] = found
    if not told:
        raise NotLookedError("nothing here tells the time")
    off = {name: ahead for name, ahead in told.items() if abs(ahead) > CLOCK_S}
    if off:
        said = ", ".join(
            f"{name} is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} this machine"
            for name, ahead in off.items()
        )
        return wrong(
            f"Clocks differ: {said}. Work may be given twice, and changes be seen late.",
            "Let every machine set its clock by NTP: timedatectl set-ntp true",
        )
    rest = f"; not told: {', '.join(silent)}" if silent else ""
    return fine(f"within {CLOCK_S:g} s of {', '.join(told)}{rest}")


def _of_redis(patient: Patient) -> float | None:
    return patient.queue.server().clock_ahead_s


def _of_disk(patient: Patient) -> float | None:
    return file_clock_ahead_s(patient.settings.data_dir)


def _of_database(patient: Patient) -> float | None:
    if not patient.settings.database_url.startswith("postgresql"):
        return None
    with patient.store.read() as session:
        # Not now(), which is when the transaction began.
        found = session.scalar(text("SELECT extract(epoch FROM clock_timestamp())"))
    return float(str(found)) - time.time()


def _of_label_studio(patient: Patient) -> float | None:
    told = patient.client.clock()
    if told is None:
        raise NotLookedError("Label Studio tells no time")
    ahead = told + 0.5 - time.time()
    return 0.0 if abs(ahead) < _SLACK_S else ahead


_CLOCKS: dict[str, tuple[str, Callable[[Patient], float | None]]] = {
    "Redis": ("redis", _of_redis),
    "PostgreSQL": ("store", _of_database),
    "the folder's disk": ("folder", _of_disk),
    "Label Studio": ("label_studio", _of_label_studio),
}
"""What must be there, and how far its clock is ahead of ours; None where it has no clock."""

PACKAGES = (Check("versions", "Are the libraries those nnloop is tested with?", packages),)

OF_LABEL_STUDIO = (
    Check(
        "label_studio_version",
        "Is Label Studio a tested release?",
        label_studio_version,
        ("label_studio",),
    ),
    Check("clocks", "Do the clocks agree?", clocks),
)
