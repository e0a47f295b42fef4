"""A training run from queued to done: its steps, its ends, what a person wants of it."""
