"""The report of a project: figures are collected here, and made into pages by ``sections``."""
