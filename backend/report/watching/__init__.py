"""Watching a training: what its folds say at this moment, and how they came to say it."""
