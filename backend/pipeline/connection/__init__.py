"""Connecting and disconnecting a project, as a person asks for it."""
