"""What became of each hint.

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Applies the revision."""
    with op.batch_alter_table("inbox") as inbox:
        inbox.add_column(sa.Column("decision", sa.Text(), nullable=False, server_default=""))
    with op.batch_alter_table("inbox") as inbox:
        inbox.alter_column("decision", server_default=None)
    op.create_index("ix_inbox_project", "inbox", ["project_id", "id"])
    # Nobody would ever have closed these.
    op.execute(
        "UPDATE inbox SET handled_at = received_at, decision = 'the project was not connected' "
        "WHERE handled_at IS NULL AND project_id NOT IN (SELECT id FROM project)"
    )


def downgrade() -> None:
    """Takes it back."""
    op.drop_index("ix_inbox_project", "inbox")
    with op.batch_alter_table("inbox") as inbox:
        inbox.drop_column("decision")
