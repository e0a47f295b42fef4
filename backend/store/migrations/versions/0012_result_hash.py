"""What Label Studio wrote of an annotation last, apart from which label it is.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Applies the revision."""
    with op.batch_alter_table("annotation") as annotation:
        annotation.add_column(
            sa.Column("result_hash", sa.String(64), nullable=False, server_default="")
        )
    with op.batch_alter_table("annotation") as annotation:
        annotation.alter_column("result_hash", server_default=None)


def downgrade() -> None:
    """Takes it back."""
    with op.batch_alter_table("annotation") as annotation:
        annotation.drop_column("result_hash")
