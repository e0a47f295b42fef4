"""Backups: one file that holds what can't be made again, and how it becomes a data folder."""
