"""Predictions of images in files: what is read, and what is written of it."""
