"""Entry points of the workers, enqueued by dotted name; arguments are ids, all can run twice."""
