"""${message}.

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Applies the revision."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Takes the revision back."""
    ${downgrades if downgrades else "pass"}
