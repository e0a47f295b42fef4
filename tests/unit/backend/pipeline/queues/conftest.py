"""The project that the tests of queues begin with."""

from tests.unit.backend.pipeline.queues.filled import lab

__all__ = ["lab"]
