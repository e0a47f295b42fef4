"""Annotations -> files: one module per format, one row per format in ``formats.FORMATS``."""
