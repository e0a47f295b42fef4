"""What was measured of a prediction, its score's interval, and what people made of it.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Applies the revision."""
    with op.batch_alter_table("prediction") as prediction:
        prediction.add_column(sa.Column("score_low", sa.Float(), nullable=True))
        prediction.add_column(sa.Column("score_high", sa.Float(), nullable=True))
        prediction.add_column(sa.Column("measures", sa.JSON(), nullable=True))
    with op.batch_alter_table("model_version") as version:
        version.add_column(sa.Column("calibration", sa.JSON(), nullable=True))
    op.create_table(
        "honest_pair",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("annotation_id", sa.Integer(), nullable=True),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("measures", sa.JSON(), nullable=True),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("score_low", sa.Float(), nullable=True),
        sa.Column("score_high", sa.Float(), nullable=True),
        sa.Column("dice", sa.Float(), nullable=True),
        sa.Column("dice_per_class", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id"],
            ["model_version.id"],
            name=op.f("fk_honest_pair_version_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_honest_pair")),
        sa.UniqueConstraint(
            "task_id", "version_id", name=op.f("uq_honest_pair_task_id_version_id")
        ),
    )
    with op.batch_alter_table("honest_pair") as pair:
        pair.create_index("ix_honest_pair_project", ["project_id", "version_id"])


def downgrade() -> None:
    """Takes it back."""
    op.drop_table("honest_pair")
    with op.batch_alter_table("model_version") as version:
        version.drop_column("calibration")
    with op.batch_alter_table("prediction") as prediction:
        prediction.drop_column("measures")
        prediction.drop_column("score_high")
        prediction.drop_column("score_low")
