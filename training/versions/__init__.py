"""Folders of model versions, what is in them, and what they say of cases. No store."""
