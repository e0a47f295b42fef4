"""Files that are imported in a session: what came of them in Label Studio against what they say."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.truth.compare import Finding, Seen, differing_pixels
from benchmarks.truth.files import FORMATS, Drawn, truth_of, write_images, write_source
from benchmarks.truth.nnloop_view import NnloopView
from benchmarks.truth.people import Person
from benchmarks.truth.reader import Reader, newest, read
from benchmarks.truth.scenes import CLASSES, SIZE_HW, Scene, number_of
from benchmarks.truth.state import State


@dataclass
class Imports:
    """One import; ``folder`` is its own."""

    state: State
    admin: Person
    reader: Reader
    view: NnloopView
    rng: np.random.Generator
    folder: Path

    def act(self, kind: str) -> tuple[str, list[Finding]]:
        """Does it.

        Args:
            kind: ``file`` (new images), ``attach`` (an image that the project has), ``wrong``
                (class names that the project lacks) or ``silent`` (an image of which the file says
                nothing).

        Returns:
            What was done, and what came out otherwise than the file says.
        """
        if kind == "attach":
            return self._attach()
        scenes = self._new_scenes(2 if kind == "silent" else int(self.rng.integers(1, 3)))
        format_ = "coco" if kind == "silent" else str(self.rng.choice(FORMATS))
        drawn = {scene.name: self._drawn(scene) for scene in scenes}
        if kind == "wrong":
            drawn = {n: [(f"their {c}", ring) for c, ring in d] for n, d in drawn.items()}
        if kind == "silent":
            drawn[scenes[1].name] = []
        said = self._import(format_, scenes, drawn)
        tasks = self._tasks_of(scenes)
        for number, task in tasks.items():
            self.state.show(task["id"], number)
        found = empty_imports(self.state, tasks.values())
        for scene in scenes:
            if kind != "wrong" and drawn[scene.name]:
                found += self._compared(scene, tasks.get(scene.number), drawn[scene.name])
        numbers = [scene.number for scene in scenes]
        return f"import_{kind}: {format_}, scenes {numbers}: {said}", found

    def _attach(self) -> tuple[str, list[Finding]]:
        before = self.reader.tasks()
        free = [row for row in before if not row["annotations"] and number_of(row["data"]["image"])]
        if not free:
            return "import_attach: no image is without annotation", []
        row = free[int(self.rng.integers(len(free)))]
        scene = Scene(int(number_of(row["data"]["image"]) or 0), self.state.seed)
        drawn = self._drawn(scene)
        said = self._import("coco", [scene], {scene.name: drawn})
        after = {task["id"]: task for task in self.reader.tasks()}
        found = empty_imports(self.state, after.values())
        found += self._compared(scene, after.get(row["id"]), drawn)
        known = {task["id"] for task in before}
        for task_id in after.keys() - known:
            self.state.show(task_id, scene.number)
            what = f"it was made for {scene.name}, which task {row['id']} has already"
            found.append(Finding("differing_pixels", 1, task_id, what))
        return f"import_attach: scene {scene.number} of task {row['id']}: {said}", found

    def _import(self, format_: str, scenes: Sequence[Scene], drawn: dict[str, Drawn]) -> str:
        """Runs the command; its exit status and last words."""
        # There already when the session was cut off here.
        shutil.rmtree(self.folder, ignore_errors=True)
        images = write_images(self.folder, scenes)
        source, options = write_source(format_, self.folder, drawn)
        project = str(self.state.project_id)
        status, said = self.view.run(
            *("import", str(source), "--format", format_, "--images", str(images)),
            *("--project", project, *options),
        )
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        return f"exit {status}, {' '.join(lines)[:160]}"

    def _compared(self, scene: Scene, task: Any, drawn: Drawn) -> list[Finding]:
        """Whether the task has the annotation that the file gives its image."""
        names = list(dict.fromkeys(name for name, _ in drawn))
        truth = truth_of(drawn, names)
        chosen = None if task is None else newest(task["annotations"])
        if task is None or chosen is None:
            n, task_id = int(np.count_nonzero(truth)), 0 if task is None else int(task["id"])
            return [Finding("differing_pixels", n, task_id, f"{scene.name} was not imported")]
        held = read(task, chosen, names, {}, SIZE_HW)
        n = truth.size if held is None else differing_pixels(held, Seen(truth, tuple(names)))
        if not n:
            return []
        what = f"{scene.name} was imported with other pixels"
        return [Finding("differing_pixels", n, int(task["id"]), what)]

    def _tasks_of(self, scenes: Sequence[Scene]) -> dict[int, Any]:
        """Scene number -> task that shows it now."""
        numbers = {scene.number for scene in scenes}
        found = {}
        for task in self.reader.tasks():
            number = number_of(task["data"]["image"])
            if number in numbers:
                found[number] = task
        return found

    def _new_scenes(self, n: int) -> list[Scene]:
        first = self.state.next_scene
        self.state.next_scene += n
        return [Scene(number, self.state.seed) for number in range(first, first + n)]

    def _drawn(self, scene: Scene) -> Drawn:
        """Both shapes, a little beside the scene's; only the disc where they would overlap."""
        names = [self.state.current(name) for name in CLASSES[: 1 if scene.is_nested else 2]]
        return [
            (name, ring + self.rng.uniform(-0.7, 0.7, 2))
            for name, ring in zip(names, scene.rings, strict=False)
        ]


def empty_imports(state: State, tasks: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Submitted empty annotations that nobody of the session submitted, each told once."""
    known = {*state.own, *state.judged}
    found = []
    for task in tasks:
        for row in task["annotations"]:
            if int(row["id"]) in known:
                continue
            state.judged.append(int(row["id"]))
            if not row["result"] and not row["was_cancelled"]:
                what = f"an import submitted annotation {row['id']} empty"
                found.append(Finding("false_negatives_made", 1, int(task["id"]), what))
    return found
