"""Alembic's entry point: runs the migrations on the connection ``Store.migrate`` hands over."""

from alembic import context

import backend.store.quality.doubts
import backend.store.quality.efforts
import backend.store.quality.pair_rows
import backend.store.tasks.elsewhere
import backend.store.tasks.embeddings
import backend.store.tasks.queues
import backend.store.tasks.readings
import backend.store.training.looks  # noqa: F401 - its tables
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
