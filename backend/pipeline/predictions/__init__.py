"""Predictions of the serving version: made, held, withdrawn, pushed."""
