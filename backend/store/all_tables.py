"""All tables of the store. Some are declared beside the code that uses them."""

from __future__ import annotations

from sqlalchemy import Table

import backend.store.quality.doubts
import backend.store.quality.efforts
import backend.store.quality.pair_rows
import backend.store.tasks.elsewhere
import backend.store.tasks.embeddings
import backend.store.tasks.queues
import backend.store.tasks.readings
import backend.store.training.looks
import backend.store.training.notices  # noqa: F401
from backend.store.models import Base

TABLES: tuple[Table, ...] = tuple(Base.metadata.sorted_tables)
"""Each after those that it refers to."""
