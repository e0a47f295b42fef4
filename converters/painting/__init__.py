"""Regions -> label maps: what lies on top, several annotators as one. No JSON."""
