"""What is derived carries the identity of its source; renames of labels; tries of a task.

Revision ID: 0003
Revises: 0002
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NEW: dict[str, tuple[tuple[str, sa.types.TypeEngine[Any], str | None], ...]] = {
    "project": (
        ("created_at", sa.String(40), ""),
        ("label_mapping", sa.JSON(), "{}"),
        ("labels_apart", sa.JSON(), "[]"),
    ),
    "task": (
        ("created_at", sa.String(40), ""),
        ("source", sa.String(64), ""),
        ("image_hash", sa.String(64), ""),
        ("image_tag", sa.Text(), ""),
        ("image_checked_at", sa.Float(), "0"),
        ("to_withdraw", sa.Boolean(), "0"),
    ),
    "case": (("image_hash", sa.String(64), ""),),
    "prediction": (
        ("source", sa.String(64), ""),
        ("image_hash", sa.String(64), ""),
        ("attempts", sa.Integer(), "0"),
        ("not_before", sa.Float(), None),
        ("held", sa.Text(), ""),
    ),
    "problem": (("remedy", sa.Text(), ""),),
}
"""Table -> (column, type, value of the rows that are there; None = NULL)."""


def upgrade() -> None:
    """Applies the revision. Server defaults fill the rows that are there, then go."""
    for table, columns in _NEW.items():
        with op.batch_alter_table(table) as batch:
            for name, kind, default in columns:
                batch.add_column(
                    sa.Column(name, kind, nullable=default is None, server_default=default)
                )
        with op.batch_alter_table(table) as batch:
            for name, _, default in columns:
                if default is not None:
                    batch.alter_column(name, server_default=None)
    # What failed so far was tried again by itself, and goes on so.
    op.execute("UPDATE prediction SET not_before = 0 WHERE error != ''")
    op.create_table(
        "trial",
        sa.Column("task_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("worker", sa.String(128), nullable=False),
        sa.Column("deaths", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_trial")),
    )
    op.create_table(
        "pause",
        sa.Column("project_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "stage", name=op.f("pk_pause")),
    )


def downgrade() -> None:
    """Takes the revision back."""
    op.drop_table("pause")
    op.drop_table("trial")
    for table, columns in _NEW.items():
        with op.batch_alter_table(table) as batch:
            for name, _, _ in columns:
                batch.drop_column(name)
