"""Where a session stands: kept in a file after every action, so that it can be cut off anywhere."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.truth.scenes import CLASSES

KINDS = ("differing_pixels", "stale_offered", "false_negatives_made")


@dataclass
class State:
    """Everything that the next action depends on, beside Label Studio itself.

    ``labels`` are the interface's labels now, ``removed`` those taken out of it. ``class_of`` names
    the class (of ``CLASSES``) behind every name it ever had; ``mapping`` are the renames nnloop was
    told of. ``own`` are annotations the session submitted, ``judged`` those of imports that were
    looked at. ``shown`` are the numbers of the scenes that tasks of an id showed, in order.
    """

    seed: int
    project_id: int = 0
    done: int = 0
    seconds: float = 0.0
    next_scene: int = 0
    next_name: int = 2
    second_token: str = ""
    version: str = ""
    ports: list[int] = field(default_factory=lambda: [0, 0])
    labels: list[str] = field(default_factory=lambda: list(CLASSES))
    removed: list[str] = field(default_factory=list)
    class_of: dict[str, str] = field(default_factory=lambda: {name: name for name in CLASSES})
    mapping: dict[str, str] = field(default_factory=dict)
    own: list[int] = field(default_factory=list)
    judged: list[int] = field(default_factory=list)
    shown: dict[str, list[int]] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    checks: int = 0
    checked_at: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def show(self, task_id: int, number: int) -> None:
        """Notes that a task shows a scene from now on."""
        numbers = self.shown.setdefault(str(task_id), [])
        if not numbers or numbers[-1] != number:
            numbers.append(number)

    def new_name(self, base: str) -> str:
        """A label that there never was."""
        self.next_name += 1
        return f"{base}-v{self.next_name - 1}"

    def current(self, name: str) -> str:
        """What one of ``CLASSES`` is called in the interface; where it is gone, another label."""
        names = [label for label in self.labels if self.class_of.get(label) == name]
        return names[0] if names else self.labels[CLASSES.index(name) % len(self.labels)]

    def save(self, path: Path) -> None:
        """Writes the file whole or not at all."""
        draft = path.with_suffix(".tmp")
        draft.write_text(json.dumps(asdict(self)), encoding="utf-8")
        draft.replace(path)

    @classmethod
    def load(cls, path: Path, seed: int) -> State:
        """What a file says, else a beginning.

        Raises:
            ValueError: the file is of another seed.
        """
        if not path.is_file():
            return cls(seed)
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if values["seed"] != seed:
            raise ValueError(f"{path.parent} holds a session of seed {values['seed']}, not {seed}.")
        return cls(**values)
