"""Which tasks of a project have the images of a source."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from backend.label_studio import LabelStudioClient, TaskHead, plain_name
from converters.addresses.image_address import path_of
from converters.addresses.upload_names import name_keys, same_name_key, without_prefix
from converters.images.image_folder import was_cut
from converters.images.image_pixels import read_image
from converters.images.of_tasks import image_name
from converters.imports.run import keys_of
from converters.imports.source import ImportedImage
from domain.annotation import Task
from domain.errors import ImageError

MAX_COMPARED = 200
"""Images of tasks fetched to look for one of unknown name; in larger projects only those without a
name (data: URIs, names that Label Studio cut) are."""

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class TaskChoice:
    """Which tasks an import may write to.

    ``new``: every image becomes a new task, also one the project has; one that this import made a
    task of before is left alone. ``again``: tasks that have an
    annotation get another one beside it.
    """

    new: bool = False
    again: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A task that has an image, and what is known of it: the size when it was fetched."""

    task_id: int
    size_hw: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class _Named:
    """A task whose image has a name, and the folders in its address."""

    id: int
    folders: tuple[str, ...]


@dataclass(slots=True)
class ProjectIndex:
    """The tasks of a project by the names of their images.

    Args:
        client: Of the server.
        project_id: Whose tasks; they are read once, when the index is made.
        image_key: The task data field that names the image.
    """

    client: LabelStudioClient
    project_id: int
    image_key: str
    heads: dict[int, TaskHead] = field(default_factory=dict)
    _by_key: dict[str, list[_Named]] = field(default_factory=dict)
    _by_stem: dict[str, list[_Named]] = field(default_factory=dict)
    _nameless: list[int] = field(default_factory=list)
    _by_hash: dict[str, list[int]] | None = None

    def __post_init__(self) -> None:
        for head in self.client.iter_heads(self.project_id):
            self.heads[head.id] = head
            name = image_name(Task(head.id, self.project_id, head.data), self.image_key)
            if not name:
                self._nameless.append(head.id)
                continue
            *folders, stored = _parts_of(str(head.data[self.image_key])) or (name,)
            named = _Named(head.id, tuple(folders))
            # An upload goes by its own name and by the one it is stored under.
            for key in {same_name_key(name), same_name_key(stored)}:
                self._by_key.setdefault(key, []).append(named)
            if was_cut(str(head.data[self.image_key])):
                self._nameless.append(head.id)  # what is left of its name finds nothing
            stem = same_name_key(PurePosixPath(name).stem)
            self._by_stem.setdefault(stem, []).append(named)

    def find(
        self, image: ImportedImage, path: Path | None, names: Sequence[str], twice: Collection[str]
    ) -> Match | None:
        """The task that has an image; None when no task has it.

        By name, and where the image's file is there by its content too; by content alone where the
        name is unknown. Among several of the name that of ``image.task_id`` is meant.

        Args:
            image: What the source says.
            path: The image's file, None when there is none.
            names: Paths the image may have.
            twice: Keys of names that several images of the source have: a name alone is then none.

        Raises:
            ImageError: ``ambiguous_task`` (several tasks may be meant) or ``other_image`` (the task
                of this name has another image).
        """
        named = self._named(image, path, names)
        if own := [task for task in named if task.id == image.task_id]:
            named, twice = own, ()
        if path is None:
            return self._by_name(image, named, names, twice)
        data = path.read_bytes()
        if not named:
            return self._by_content(image, data)
        same = self._same(image, data, [task.id for task in named])
        if not same:
            raise ImageError(
                image.number,
                "other_image",
                f"the image {image.file_name!r} is not that of {_tasks(t.id for t in named)}, "
                "which has the same name but other pixels.",
                remedy="--new makes a task of it; without --images the name alone decides.",
            )
        return self._only(image, same)

    def _named(self, image: ImportedImage, path: Path | None, names: Sequence[str]) -> list[_Named]:
        """Tasks of the image's name; those that share most of its folders, where any does."""
        wanted = [path.name] if path is not None else [PurePosixPath(n).name for n in names]
        wanted += [without_prefix(name) for name in wanted[:1]]
        found: dict[int, _Named] = {}
        for name in wanted:
            for key in (*name_keys(name), same_name_key(plain_name(name))):
                found.update({task.id: task for task in self._by_key.get(key, ())})
            if found:
                break
        if not found and path is None:
            for stem in image.stems:
                for key in name_keys(stem):
                    found.update({task.id: task for task in self._by_stem.get(key, ())})
                if found:
                    break
        folders = PurePosixPath(names[0]).parts[:-1] if names else ()
        shared = {task.id: _common_tail(task.folders, folders) for task in found.values()}
        most = max(shared.values(), default=0)
        return [task for task in found.values() if shared[task.id] == most]

    def _by_name(
        self,
        image: ImportedImage,
        named: list[_Named],
        names: Sequence[str],
        twice: Collection[str],
    ) -> Match | None:
        if not named:
            return None
        folders = PurePosixPath(names[0]).parts[:-1] if names else ()
        if keys_of(image) & set(twice) and not (
            folders and _common_tail(named[0].folders, folders) == len(folders)
        ):
            raise ImageError(
                image.number,
                "ambiguous_task",
                f"several images of the source are called {image.file_name!r}, and the name is all "
                f"that leads to {_tasks(t.id for t in named)}.",
                remedy="Give the folder of images with --images: then their content decides.",
            )
        task_id = self._only(image, [task.id for task in named]).task_id
        return Match(task_id, self.size_hw(image, task_id))

    def size_hw(self, image: ImportedImage, task_id: int) -> tuple[int, int]:
        """(height, width) of a task's image, which is fetched; ImageError when it can't be."""
        height, width = read_image(self._fetch(image, task_id), image.number).shape[:2]
        return height, width

    def _by_content(self, image: ImportedImage, data: bytes) -> Match | None:
        if self._by_hash is None:
            self._by_hash = {}
            few = len(self.heads) <= MAX_COMPARED
            for task_id in list(self.heads) if few else self._nameless[:MAX_COMPARED]:
                try:
                    digest = _digest(self._fetch(image, task_id))
                except ImageError:
                    continue  # an image that can't be read is not this one
                self._by_hash.setdefault(digest, []).append(task_id)
        found = self._by_hash.get(_digest(data), [])
        return self._only(image, found) if found else None

    def _same(self, image: ImportedImage, data: bytes, task_ids: Sequence[int]) -> list[int]:
        """Those whose image is this one: the same file, else the same pixels."""
        fetched = {task_id: self._fetch(image, task_id) for task_id in task_ids}
        equal = [task_id for task_id, held in fetched.items() if held == data]
        if equal:
            return equal
        pixels = read_image(data, image.number)
        return [
            task_id
            for task_id, held in fetched.items()
            if np.array_equal(read_image(held, image.number), pixels)
        ]

    def _fetch(self, image: ImportedImage, task_id: int) -> bytes:
        uri = self.heads[task_id].data.get(self.image_key)
        if not isinstance(uri, str):
            raise ImageError(image.number, "image_missing", f"task {task_id} has no image.")
        return self.client.fetch_image(uri, task_id, self.project_id)

    def _only(self, image: ImportedImage, task_ids: Sequence[int]) -> Match:
        if len(task_ids) > 1:
            raise ImageError(
                image.number,
                "ambiguous_task",
                f"{_tasks(task_ids)} have the image {image.file_name!r}.",
                remedy="Delete the doubles, or make a new task of it with --new.",
            )
        return Match(task_ids[0])


def _parts_of(uri: str) -> tuple[str, ...]:
    """Folders and name in the address of an image."""
    return tuple(part for part in path_of(uri).split("/") if part)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _common_tail(one: Sequence[str], other: Sequence[str]) -> int:
    """How many last parts two paths share."""
    n = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if same_name_key(a) != same_name_key(b):
            break
        n += 1
    return n


def _tasks(task_ids: Iterator[int] | Sequence[int]) -> str:
    ids = list(task_ids)
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return f"task{'s' if len(ids) > 1 else ''} {', '.join(map(str, ids[:_SHOWN]))}{more}"
