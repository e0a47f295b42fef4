"""Which cases' images look alike: each is compared with all others once, when it comes or changes.

By fingerprint at once, all of them. What is cut, turned or shown otherwise fingerprints don't know:
of the few images that come closest by embedding, each is laid over the new one
(``converters.images.same_view``). That takes time, so a preparation does it for a while, and the
next one goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt
from sqlalchemy import select

from backend.pipeline.basis.beat import Beat
from backend.pipeline.basis.context import AppContext
from backend.store.models import CaseRow
from backend.store.training import looks
from converters.images.likeness import find_alike, nearest_prints
from converters.images.same_view import Thumbnail, is_same_view, thumbnail
from domain.errors import TrainingError
from training.case_files import read_case_image
from training.nnunet.networks.image_embedding import DIMENSIONS, shared_embedding
from training.pretrained import EMBEDDING, has_weights
from training.workspace import Workspace

logger = logging.getLogger(__name__)

COMPARE_S = 60.0
"""Of a preparation, spent on laying images over one another: some 500 images."""

CANDIDATES = 3
"""Images that come closest: among 453 the one that a picture was cut (by 20 %) or turned (by 10
degrees) from was one of them in 99 %."""

_KEPT = 64
"""Thumbnails of known images held at once, 64 kB each."""

Vector = npt.NDArray[np.float32]


def find_sets(context: AppContext, project_id: int, beat: Beat) -> None:
    """Looks up which cases the new ones look like; those that were looked up stay as they are."""
    with context.store.begin() as session:
        query = select(CaseRow.case_id, CaseRow.fingerprint, CaseRow.alike).where(
            CaseRow.project_id == project_id
        )
        rows = [(row.case_id, row.fingerprint, row.alike) for row in session.execute(query)]
    prints = {case_id: value for case_id, value, _ in rows}
    links = _compare(context, project_id, prints, beat)
    new = [case_id for case_id, _, alike in rows if alike is None]
    if not new and not any(links.values()):
        return
    sets = {case_id: alike or "" for case_id, _, alike in rows}
    found = find_alike(prints, sets, new, beat, links)
    with context.store.begin() as session:
        for case_id, alike in found.items():
            row = session.get(CaseRow, (project_id, case_id))
            if row is not None and row.fingerprint == prints[case_id]:
                row.alike = alike


def _compare(
    context: AppContext, project_id: int, prints: Mapping[str, str], beat: Beat
) -> dict[str, list[str]]:
    """Lays images that were not compared yet over those nearest to them; which are one picture."""
    kind = EMBEDDING if has_weights() else ""
    with context.store.read() as session:
        todo = looks.uncompared(session, project_id, kind)
        if not todo:
            return {}
        known = looks.vectors_of(session, project_id, kind)
    comparing = _Comparing(context.workspace(project_id), prints, todo, known if kind else None)
    links: dict[str, list[str]] = {}
    until = time.monotonic() + COMPARE_S
    for case_id in todo:
        beat()
        if time.monotonic() > until:
            logger.info(
                "Project %d: %d images are compared with the others at the next training.",
                project_id,
                len(todo) - len(links),
            )
            break
        links[case_id] = comparing.alike(case_id)
    with context.store.begin() as session:
        vectors = {case_id: comparing.vector(case_id) for case_id in links}
        looks.save_looks(session, project_id, prints, kind, vectors)
    return links


class _Comparing:
    """Compares one image after the other with those that came before it."""

    def __init__(
        self,
        workspace: Workspace,
        prints: Mapping[str, str],
        todo: Collection[str],
        vectors: Mapping[str, Vector] | None,
    ) -> None:
        """By vectors, those known so far, or without them by fingerprints."""
        self._workspace, self._prints = workspace, prints
        self._vectors = None if vectors is None else _Vectors(vectors, len(todo))
        self._thumbnails: dict[str, Thumbnail | None] = {}

    def alike(self, case_id: str) -> list[str]:
        """Cases whose image is the same picture. One that can't be read is like none."""
        try:
            image = read_case_image(self._workspace, case_id)
        except TrainingError:
            return []
        if self._vectors is None:
            near = nearest_prints(self._prints, case_id, CANDIDATES)
        else:
            vector = shared_embedding()(image)
            near = self._vectors.nearest(vector, case_id)
            self._vectors.put(case_id, vector)
        own = thumbnail(image)
        return [other for other in near if self._is_same(other, own)]

    def vector(self, case_id: str) -> Vector | None:
        """Of an image that was compared by its vector."""
        return None if self._vectors is None else self._vectors.of(case_id)

    def _is_same(self, other: str, own: Thumbnail) -> bool:
        theirs = self._thumbnail(other)
        return theirs is not None and is_same_view(theirs, own)

    def _thumbnail(self, case_id: str) -> Thumbnail | None:
        if case_id not in self._thumbnails:
            while len(self._thumbnails) >= _KEPT:
                self._thumbnails.pop(next(iter(self._thumbnails)))
            try:
                image = read_case_image(self._workspace, case_id)
            except TrainingError:
                self._thumbnails[case_id] = None
            else:
                self._thumbnails[case_id] = thumbnail(image)
        return self._thumbnails[case_id]


class _Vectors:
    """Vectors by name, with room for some more."""

    def __init__(self, known: Mapping[str, Vector], n_more: int) -> None:
        n_numbers = len(next(iter(known.values()))) if known else DIMENSIONS
        self._rows: dict[str, int] = {}
        self._matrix = np.empty((len(known) + n_more, n_numbers), np.float32)
        for name, vector in known.items():
            self.put(name, vector)

    def put(self, name: str, vector: Vector) -> None:
        self._matrix[self._rows.setdefault(name, len(self._rows))] = vector

    def of(self, name: str) -> Vector | None:
        row = self._rows.get(name)
        return None if row is None else self._matrix[row]

    def nearest(self, vector: Vector, but: str) -> list[str]:
        """Names of the ``CANDIDATES`` that lie closest, the closest first."""
        # All have length 1.
        closeness = self._matrix[: len(self._rows)] @ vector
        if but in self._rows:
            closeness[self._rows[but]] = -np.inf
        names = list(self._rows)
        best = np.argsort(-closeness, kind="stable")[:CANDIDATES].tolist()
        return [names[row] for row in best if names[row] != but]
