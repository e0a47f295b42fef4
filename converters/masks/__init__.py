"""Masks in files <-> label maps: one set of rules for every format. No Label Studio."""
