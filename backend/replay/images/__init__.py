"""Labelled images to play with: where they come from, and what they look like."""
