"""Parsers of outside data, fed with what nobody would send, for minutes."""
