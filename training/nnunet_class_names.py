"""Names of nnU-Net's trainers and planners, read from its sources without importing them.

For processes that load no networks: a name is then refused where it is typed, not hours later.
"""

from __future__ import annotations

import difflib
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from domain.errors import SettingsError
from training.presets import OWN_TRAINER

_PLACES = {
    "trainer": ("training/nnUNetTrainer", "nnUNetTrainer"),
    "planner": ("experiment_planning/experiment_planners", "ExperimentPlanner"),
}
_CLASS = re.compile(r"^class (\w+)(?:\(([\w.]+))?", re.MULTILINE)
_MODULE_AND_CLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_CLOSE = 5


@cache
def class_names(kind: str) -> tuple[str, ...]:
    """The trainers or planners of the installed nnU-Net, sorted; none when it is not installed.

    Args:
        kind: ``trainer`` or ``planner``.
    """
    folder, root = _PLACES[kind]
    spec = find_spec("nnunetv2")
    bases: dict[str, str] = {}
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for path in (Path(place) / folder).rglob("*.py"):
            bases |= dict(_CLASS.findall(path.read_text(encoding="utf-8")))
    return tuple(sorted(name for name in bases if _derives(name, root, bases)))


def check_class_name(kind: str, name: str) -> None:
    """Refuses what can't be the name of a trainer or planner.

    ``package.module:Class`` is let through: only the worker that trains can import it.

    Args:
        kind: ``trainer`` or ``planner``.
        name: As in ``Preset.trainer``; "" is no name and let through.

    Raises:
        SettingsError: nnU-Net has none of this name.
    """
    known = class_names(kind)
    if not name or not known or name in known or _MODULE_AND_CLASS.fullmatch(name):
        return
    if kind == "trainer" and name == OWN_TRAINER:
        return
    close = difflib.get_close_matches(name, known, _CLOSE, 0.4) or [_PLACES[kind][1]]
    raise SettingsError(
        f"There is no {kind} {name!r} in the installed nnU-Net.",
        remedy=f"It has {', '.join(close)}; one of your own is named package.module:Class.",
    )


def _derives(name: str, root: str, bases: dict[str, str]) -> bool:
    seen: set[str] = set()
    while name != root and name in bases and name not in seen:
        seen.add(name)
        name = bases[name].rpartition(".")[2]
    return name == root
