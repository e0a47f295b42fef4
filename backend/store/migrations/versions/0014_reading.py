"""How far a project was read.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Applies the revision."""
    op.create_table(
        "reading",
        sa.Column("project_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("read_all_at", sa.Float(), nullable=False),
        sa.Column("read_to", sa.String(40), nullable=False),
        sa.Column("seen_to", sa.String(40), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.Column("turned_to", sa.Integer(), nullable=False),
        sa.Column("turned_at", sa.Float(), nullable=False),
        sa.Column("clock_ahead_s", sa.Float(), nullable=True),
        sa.Column("image_keys", sa.Text(), nullable=False),
        sa.Column("more_tasks", sa.Integer(), nullable=False),
        sa.Column("more_submitted", sa.Integer(), nullable=False),
        sa.Column("more_skipped", sa.Integer(), nullable=False),
        sa.Column("doubt", sa.String(200), nullable=False),
        sa.Column("checked_at", sa.Float(), nullable=False),
        sa.Column("checked_as", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_reading")),
    )


def downgrade() -> None:
    """Takes it back."""
    op.drop_table("reading")
