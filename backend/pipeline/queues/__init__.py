"""Queues: each annotator's own tab, filled by a strategy and a control arm."""
