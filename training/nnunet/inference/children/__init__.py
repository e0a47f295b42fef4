"""Processes that load the networks of a version for those that load none."""
