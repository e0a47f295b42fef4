"""What an annotation cost: Label Studio's clock, what it began with, what was changed.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Applies the revision."""
    with op.batch_alter_table("annotation") as annotation:
        annotation.add_column(sa.Column("lead_time_s", sa.Float(), nullable=True))
        annotation.add_column(sa.Column("updated_by", sa.Integer(), nullable=True))
        annotation.add_column(sa.Column("parent_prediction", sa.Integer(), nullable=True))
    op.create_table(
        "effort",
        sa.Column("annotation_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("made_at", sa.String(40), nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=True),
        sa.Column("beginning", sa.String(16), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=True),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("lead_time_s", sa.Float(), nullable=True),
        sa.Column("classes", sa.JSON(), nullable=False),
        sa.Column("n_regions", sa.Integer(), nullable=False),
        sa.Column("n_points", sa.Integer(), nullable=False),
        sa.Column("dice", sa.Float(), nullable=True),
        sa.Column("dice_per_class", sa.JSON(), nullable=False),
        sa.Column("measured_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id"], ["model_version.id"], name=op.f("fk_effort_version_id")
        ),
        sa.PrimaryKeyConstraint("annotation_id", name=op.f("pk_effort")),
    )
    op.create_index("ix_effort_project", "effort", ["project_id", "version_id"])


def downgrade() -> None:
    """Takes it back."""
    op.drop_table("effort")
    with op.batch_alter_table("annotation") as annotation:
        annotation.drop_column("parent_prediction")
        annotation.drop_column("updated_by")
        annotation.drop_column("lead_time_s")
