"""Integers of 64 bits, as SQLite has them anyway.

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Applies the revision."""
    _alter(sa.Integer, sa.BigInteger())


def downgrade() -> None:
    """Takes it back."""
    _alter(sa.BigInteger, sa.Integer(), besides={("model_version", "size_bytes")})


def _alter(
    old: type[sa.types.TypeEngine[int]],
    new: sa.types.TypeEngine[int],
    besides: frozenset[tuple[str, str]] | set[tuple[str, str]] = frozenset(),
) -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        return
    inspector = sa.inspect(connection)
    for table in inspector.get_table_names():
        for column in inspector.get_columns(table):
            is_old = isinstance(column["type"], old) and not isinstance(column["type"], type(new))
            if is_old and (table, column["name"]) not in besides:
                op.alter_column(table, column["name"], type_=new)
