"""Labels that are probably wrong, and the tab that lists them.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Applies the revision."""
    op.create_table(
        "label_doubt",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("image_hash", sa.String(64), nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("saved_at", sa.String(40), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("rarity", sa.Float(), nullable=False),
        sa.Column("doubts", sa.JSON(), nullable=False),
        sa.Column("checked_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(
            ["version_id"], ["model_version.id"], name=op.f("fk_label_doubt_version_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_doubt")),
        sa.UniqueConstraint(
            "project_id", "task_id", name=op.f("uq_label_doubt_project_id_task_id")
        ),
    )
    op.create_table(
        "check_tab",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("view_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_check_tab")),
    )


def downgrade() -> None:
    """Takes it back."""
    op.drop_table("check_tab")
    op.drop_table("label_doubt")
