"""What is derived carries the identity of its source; renames of labels; tries of a task.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_NEW: dict[str, tuple[tuple[str, sa.types.TypeEngine, str | None], ...]] = {
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


def downgrade() -> None:
    """Takes the revision back."""
    for table, columns in _NEW.items():
        with op.batch_alter_table(table) as batch:
            for name, _, _ in columns:
                batch.drop_column(name)
