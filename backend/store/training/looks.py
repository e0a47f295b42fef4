"""What the images of cases look like, as vectors, and which were compared with the others."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from sqlalchemy import LargeBinary, String, and_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from backend.store.models import Base, CaseRow
from backend.store.vectors import pack, unpack


class CaseLookRow(Base):
    """A case whose image was compared with those of the others; about 1 kB.

    ``fingerprint`` is the image's at that time, ``kind`` says by what the vector was made, "" where
    there is none: once they differ from today's, the image is to be compared again. ``vector`` is
    as ``backend.store.vectors`` packs it.
    """

    __tablename__ = "case_look"

    project_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    case_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(32), default="")
    vector: Mapped[bytes] = mapped_column(LargeBinary, default=b"")


def uncompared(session: Session, project_id: int, kind: str) -> list[str]:
    """Cases whose image was not compared yet as it is now, or not by vectors of this kind."""
    is_theirs = and_(
        CaseLookRow.project_id == CaseRow.project_id,
        CaseLookRow.case_id == CaseRow.case_id,
        CaseLookRow.fingerprint == CaseRow.fingerprint,
        CaseLookRow.kind == kind,
    )
    query = (
        select(CaseRow.case_id)
        .outerjoin(CaseLookRow, is_theirs)
        .where(
            CaseRow.project_id == project_id,
            # An image of one colour looks like nothing.
            CaseRow.fingerprint != "",
            CaseLookRow.case_id.is_(None),
        )
        .order_by(CaseRow.case_id)
    )
    return list(session.scalars(query))


def vectors_of(
    session: Session, project_id: int, kind: str
) -> Mapping[str, npt.NDArray[np.float32]]:
    """Case -> (d,) of those that have a vector of this kind."""
    query = select(CaseLookRow.case_id, CaseLookRow.vector).where(
        CaseLookRow.project_id == project_id, CaseLookRow.kind == kind, CaseLookRow.vector != b""
    )
    return {case_id: unpack(vector) for case_id, vector in session.execute(query)}


def save_looks(
    session: Session,
    project_id: int,
    prints: Mapping[str, str],
    kind: str,
    vectors: Mapping[str, npt.NDArray[np.float32] | None],
) -> None:
    """Stores that images were compared.

    Args:
        session: Of the store.
        project_id: Whose cases.
        prints: Case -> fingerprint of its image, at least of those in ``vectors``.
        kind: By what the vectors were made; "" where there are none.
        vectors: Case -> (d,), or None.
    """
    for case_id, vector in vectors.items():
        session.merge(
            CaseLookRow(
                project_id=project_id,
                case_id=case_id,
                fingerprint=prints[case_id],
                kind=kind,
                vector=pack(vector),
            )
        )
