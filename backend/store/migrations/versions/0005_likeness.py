"""What the images of cases look like, and which of them look alike.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Applies the revision."""
    with op.batch_alter_table("case") as case:
        case.add_column(sa.Column("fingerprint", sa.String(64), nullable=False, server_default=""))
        case.add_column(sa.Column("alike", sa.String(64), nullable=True))
    with op.batch_alter_table("case") as case:
        case.alter_column("fingerprint", server_default=None)


def downgrade() -> None:
    """Takes it back."""
    with op.batch_alter_table("case") as case:
        case.drop_column("alike")
        case.drop_column("fingerprint")
