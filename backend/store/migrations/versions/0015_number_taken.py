"""Numbers of versions that Label Studio knows from before this store.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Applies the revision."""
    with op.batch_alter_table("project") as project:
        project.add_column(
            sa.Column("number_taken", sa.Integer(), nullable=False, server_default="0")
        )
    with op.batch_alter_table("project") as project:
        project.alter_column("number_taken", server_default=None)


def downgrade() -> None:
    """Takes it back."""
    with op.batch_alter_table("project") as project:
        project.drop_column("number_taken")
