"""A prediction keeps its score alone: nobody read its uncertainty measures.

Documents in JSON columns (manifests, metrics, fold results) have a form now; rows of runs and
versions made before can't be read.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Applies the revision."""
    with op.batch_alter_table("prediction") as prediction:
        prediction.drop_column("uncertainty")


def downgrade() -> None:
    """Takes it back; the measures are gone."""
    with op.batch_alter_table("prediction") as prediction:
        prediction.add_column(
            sa.Column("uncertainty", sa.JSON(), nullable=False, server_default="{}")
        )
    with op.batch_alter_table("prediction") as prediction:
        prediction.alter_column("uncertainty", server_default=None)
