"""Alembic's entry point: runs the migrations on the connection ``Store.migrate`` hands over."""

from alembic import context

import backend.store.all_tables  # noqa: F401 - declares what models.py does not
from backend.store.models import Base

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Base.metadata,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
