"""A seeded session of people and files: what happens to a project, one action after the other.

The deck holds every kind of action as often as it is wanted, shuffled anew when it is used up; what
an action does is drawn from the seed and its number alone, so a session that was cut off goes on as
it would have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.truth.compare import Finding
from benchmarks.truth.imports import Imports
from benchmarks.truth.nnloop_view import NnloopView
from benchmarks.truth.people import Person
from benchmarks.truth.reader import Reader, newest
from benchmarks.truth.regions import STYLES, Region, as_polygon, corrected, drawn, label_config
from benchmarks.truth.scenes import CLASSES, Scene, number_of
from benchmarks.truth.state import State

DECK = {
    "label": 8,
    "correct": 8,
    "accept": 2,
    "update": 4,
    "empty": 2,
    "skip": 2,
    "draft": 2,
    "second": 4,
    "delete_annotation": 3,
    "delete_tasks": 2,
    "reuse_ids": 5,
    "patch_image": 4,
    "add_images": 3,
    "rename": 2,
    "add_class": 1,
    "remove_class": 2,
    "import_file": 3,
    "import_attach": 1,
    "import_wrong": 1,
    "import_silent": 1,
}
"""How often each kind of action comes in one round of 60."""

FIRST_IMAGES = 20
FIRST_LABELS = 8
_FEWEST, _MOST = 14, 34
_PASSWORD = "second-Passw0rd"


def kind_of(seed: int, number: int) -> str:
    """The kind of action number ``number`` (from 0) of a session."""
    cards = [kind for kind, times in DECK.items() for _ in range(times)]
    turn, place = divmod(number, len(cards))
    order = np.random.default_rng([seed, 3, turn]).permutation(len(cards))
    return cards[int(order[place])]


@dataclass
class Session:
    """Acts on one project.

    ``folder`` takes the files that are imported. The people are made by ``begin`` or ``resume``.
    """

    url: str
    token: str
    state: State
    view: NnloopView
    folder: Path
    admin: Person = field(init=False)
    second: Person = field(init=False)
    reader: Reader = field(init=False)
    _rng: np.random.Generator = field(init=False)

    def begin(self, n_labels: int = FIRST_LABELS) -> None:
        """Makes the project: images, the first of them labelled, a second annotator."""
        state = self.state
        self.admin = Person(self.url, self.token)
        state.project_id = self.admin.make_project(
            f"Truth {state.seed}", label_config(state.labels)
        )
        email = f"second-{state.seed}-{state.project_id}@example.com"
        state.second_token = self.admin.invite(email, _PASSWORD)
        self.resume()
        self._rng = np.random.default_rng([state.seed, 4])
        for task_id, number in self.upload(FIRST_IMAGES)[:n_labels]:
            scene = Scene(number, state.seed)
            # As it is, for the version to learn from.
            # The disc last: it may lie in the square.
            result = [
                as_polygon(name, ring, self._rng)
                for name, ring in zip(CLASSES[::-1], scene.rings[::-1], strict=True)
            ]
            self._submit(self.admin, task_id, result)

    def resume(self) -> None:
        """The people of a project that is there."""
        state = self.state
        self.admin = Person(self.url, self.token, state.project_id)
        self.second = Person(self.url, state.second_token, state.project_id)
        self.reader = Reader(self.url, self.token, state.project_id)

    def close(self) -> None:
        """Closes the connections."""
        for part in (self.admin, self.second, self.reader):
            part.close()

    def act(self, number: int) -> tuple[str, list[Finding]]:
        """Does action ``number``; what was done, and what an import made wrong of it."""
        self._rng = np.random.default_rng([self.state.seed, 5, number])
        kind = kind_of(self.state.seed, number)
        if kind.startswith("import_"):
            folder = self.folder / f"{number:04d}"
            return Imports(self.state, self.admin, self.reader, self.view, self._rng, folder).act(
                kind.removeprefix("import_")
            )
        action: Callable[[], str] = getattr(self, f"_{kind}")
        return f"{kind}: {action()}", []

    def upload(self, n: int) -> list[tuple[int, int]]:
        """New images, each unlike all others; (task id, scene number) each."""
        state = self.state
        numbers = range(state.next_scene, state.next_scene + n)
        state.next_scene += n
        ids = []
        for number in numbers:
            scene = Scene(number, state.seed)
            ids += self.admin.upload([(scene.name, scene.file)])
            state.show(ids[-1], number)
        return list(zip(ids, numbers, strict=True))

    def _label(self) -> str:
        task = self._some_task(lambda row: newest(row["annotations"]) is None)
        if task is None:
            return self._add_images()
        return self._annotate(self.admin, task)

    def _correct(self) -> str:
        return self._from_prediction(lambda result: self._corrected(result))

    def _accept(self) -> str:
        return self._from_prediction(
            lambda result: [{**entry, "origin": "prediction"} for entry in result]
        )

    def _update(self) -> str:
        annotation = self._some_annotation()
        if annotation is None:
            return self._label()
        task, row = annotation
        style = str(self._rng.choice(STYLES))
        self.admin.update(row["id"], self._drawn(task, style))
        return f"annotation {row['id']} of task {task['id']}, {style}"

    def _empty(self) -> str:
        task = self._some_task(lambda row: newest(row["annotations"]) is None)
        return self._label() if task is None else self._submit(self.admin, task["id"], [])

    def _skip(self) -> str:
        task = self._some_task(lambda row: not row["annotations"])
        if task is None:
            return self._label()
        return self._submit(self.admin, task["id"], [], is_skip=True)

    def _draft(self) -> str:
        task = self._some_task()
        annotations = [] if task is None else [a["id"] for a in task["annotations"]]
        if task is None:
            return self._add_images()
        of = annotations[0] if annotations and self._rng.random() < 0.5 else None
        person = self.admin if self._rng.random() < 0.5 else self.second
        person.save_draft(task["id"], of, self._drawn(task, "polygons"))
        return f"task {task['id']}, annotation {of}"

    def _second(self) -> str:
        task = self._some_task()
        if task is None:
            return self._add_images()
        if self._rng.random() < 0.25:
            return self._submit(self.second, task["id"], [], is_skip=True)
        return self._annotate(self.second, task)

    def _delete_annotation(self) -> str:
        annotation = self._some_annotation()
        if annotation is None:
            return self._label()
        task, row = annotation
        self.admin.delete_annotation(row["id"])
        return f"annotation {row['id']} of task {task['id']}"

    def _delete_tasks(self) -> str:
        tasks = self.reader.tasks()
        if len(tasks) <= _FEWEST:
            return self._add_images()
        chosen = self._rng.choice([row["id"] for row in tasks], 2, replace=False).tolist()
        for task_id in chosen:
            self.admin.delete_task(task_id)
        return f"tasks {chosen}"

    def _reuse_ids(self) -> str:
        """Deletes the tasks with the highest ids: their ids go to other images."""
        gone = [row["id"] for row in self.reader.tasks()[-int(self._rng.integers(1, 4)) :]]
        for task_id in gone:
            self.admin.delete_task(task_id)
        made = self.upload(len(gone))
        return f"tasks {gone} went, (task, scene) {made} came"

    def _patch_image(self) -> str:
        wants_unlabelled = self._rng.random() < 0.7
        task = self._some_task(
            lambda row: not wants_unlabelled or newest(row["annotations"]) is None
        )
        if task is None:
            return self._add_images()
        scene = Scene(self.state.next_scene, self.state.seed)
        self.state.next_scene += 1
        self.admin.show(task["id"], self.admin.store(scene.name, scene.file))
        self.state.show(task["id"], scene.number)
        return f"task {task['id']} shows scene {scene.number}"

    def _add_images(self) -> str:
        if len(self.reader.tasks()) >= _MOST:
            return f"delete_tasks: {self._delete_tasks()}"
        return f"add_images: (task, scene) {self.upload(int(self._rng.integers(1, 3)))}"

    def _rename(self) -> str:
        state = self.state
        old = str(self._rng.choice(state.labels))
        new = state.new_name(old.partition("-v")[0])
        state.labels[state.labels.index(old)] = new
        if old in state.class_of:
            state.class_of[new] = state.class_of[old]
        self.admin.set_label_config(label_config(state.labels))
        is_known = self.view.map_label(old, new)
        if is_known:
            state.mapping[old] = new
        else:
            # Nobody could say that it is the same class: what was drawn as the old one is left out.
            state.removed.append(old)
        return f"{old!r} is {new!r} now" + ("" if is_known else ", which nnloop can't be told")

    def _add_class(self) -> str:
        state = self.state
        added = state.new_name("extra")
        state.labels.append(added)
        self.admin.set_label_config(label_config(state.labels))
        return repr(added)

    def _remove_class(self) -> str:
        """Takes a class out, or brings the one back that was taken out before."""
        state = self.state
        back = [name for name in state.removed if name not in state.mapping]
        if back:
            state.removed.remove(back[0])
            state.labels.append(back[0])
            what = f"{back[0]!r} is back"
        elif len(state.labels) > 1:
            gone = state.labels.pop(int(self._rng.integers(len(state.labels))))
            state.removed.append(gone)
            what = f"{gone!r} is gone"
        else:
            return self._add_class()
        self.admin.set_label_config(label_config(state.labels))
        return what

    def _annotate(self, person: Person, task: Any) -> str:
        style = str(self._rng.choice(STYLES))
        return f"{style}, {self._submit(person, task['id'], self._drawn(task, style))}"

    def _from_prediction(self, changed: Callable[[list[Region]], list[Region]]) -> str:
        """Submits a prediction that Label Studio holds, changed or not; labels without one."""
        held = {int(row["task"]) for row in self.reader.predictions()}
        task = self._some_task(lambda row: row["id"] in held and newest(row["annotations"]) is None)
        if task is None:
            return self._label()
        prediction = self.admin.predictions(task["id"])[0]
        result = changed(prediction["result"])
        done = self._submit(self.admin, task["id"], result, parent=prediction["id"])
        return f"{done}, from prediction {prediction['id']}"

    def _corrected(self, result: list[Region]) -> list[Region]:
        changed = corrected(result, self._rng)
        if not changed or self._rng.random() < 0.5:
            changed += self._drawn(None, "polygons")[:1]
        return changed

    def _submit(
        self,
        person: Person,
        task_id: int,
        result: list[Region],
        *,
        is_skip: bool = False,
        parent: int | None = None,
    ) -> str:
        made = person.submit(task_id, result, is_skip=is_skip, parent_prediction=parent)
        self.state.own.append(made)
        return f"annotation {made} of task {task_id} with {len(result)} regions"

    def _drawn(self, task: Any, style: str) -> list[Region]:
        number = None if task is None else number_of(task["data"]["image"])
        scene = Scene(int(self._rng.integers(1000)) if number is None else number, self.state.seed)
        disc, square = (self.state.current(name) for name in CLASSES)
        return drawn(style, scene.rings, (disc, square), self._rng)

    def _some_task(self, is_wanted: Callable[[Any], bool] = lambda row: True) -> Any:
        """A task's row, or None when none is wanted."""
        rows = [row for row in self.reader.tasks() if is_wanted(row)]
        return rows[int(self._rng.integers(len(rows)))] if rows else None

    def _some_annotation(self) -> tuple[Any, Any] | None:
        rows = [
            (task, row)
            for task in self.reader.tasks()
            for row in task["annotations"]
            if not row["was_cancelled"]
        ]
        return rows[int(self._rng.integers(len(rows)))] if rows else None
