"""Runs that can be paused, folds that say how long they take, versions that come from elsewhere.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Applies the revision. Server defaults fill the rows that are there, then go."""
    with op.batch_alter_table("case") as case:
        case.drop_column("is_color")
    with op.batch_alter_table("training_run") as run:
        run.add_column(
            sa.Column("control", sa.String(length=16), nullable=False, server_default="run")
        )
        run.add_column(sa.Column("note", sa.Text(), nullable=False, server_default=""))
    with op.batch_alter_table("training_run") as run:
        run.alter_column("control", server_default=None)
        run.alter_column("note", server_default=None)
    with op.batch_alter_table("inbox") as inbox:
        inbox.add_column(sa.Column("overrides", sa.JSON(), nullable=False, server_default="{}"))
    with op.batch_alter_table("inbox") as inbox:
        inbox.alter_column("overrides", server_default=None)
    with op.batch_alter_table("fold_result") as fold:
        for name in ("val_loss", "case_dice", "eta_s"):
            fold.add_column(sa.Column(name, sa.Float(), nullable=True))
    with op.batch_alter_table("model_version") as version:
        version.alter_column("run_id", existing_type=sa.Integer(), nullable=True)
        version.add_column(
            sa.Column("origin", sa.String(length=16), nullable=False, server_default="trained")
        )
        version.add_column(
            sa.Column("size_bytes", sa.BigInteger(), nullable=False, server_default="0")
        )
        version.add_column(
            sa.Column("is_pinned", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        version.add_column(sa.Column("pruned_at", sa.Float(), nullable=True))
        version.add_column(sa.Column("manifest", sa.JSON(), nullable=True))
    with op.batch_alter_table("model_version") as version:
        version.alter_column("origin", server_default=None)
        version.alter_column("size_bytes", server_default=None)
        version.alter_column("is_pinned", server_default=None)


def downgrade() -> None:
    """Takes the revision back; versions without a run can't be told in the older tables."""
    op.execute(
        "DELETE FROM prediction WHERE version_id IN "
        "(SELECT id FROM model_version WHERE run_id IS NULL)"
    )
    op.execute(
        "UPDATE project SET champion_id = NULL WHERE champion_id IN "
        "(SELECT id FROM model_version WHERE run_id IS NULL)"
    )
    op.execute("DELETE FROM model_version WHERE run_id IS NULL")
    with op.batch_alter_table("model_version") as version:
        for name in ("manifest", "pruned_at", "is_pinned", "size_bytes", "origin"):
            version.drop_column(name)
        version.alter_column("run_id", existing_type=sa.Integer(), nullable=False)
    with op.batch_alter_table("fold_result") as fold:
        for name in ("eta_s", "case_dice", "val_loss"):
            fold.drop_column(name)
    with op.batch_alter_table("inbox") as inbox:
        inbox.drop_column("overrides")
    with op.batch_alter_table("training_run") as run:
        run.drop_column("note")
        run.drop_column("control")
    with op.batch_alter_table("case") as case:
        case.add_column(
            sa.Column("is_color", sa.Boolean(), nullable=False, server_default=sa.false())
        )
