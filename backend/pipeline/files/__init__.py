"""Exports from and imports into a project by Label Studio's API."""
