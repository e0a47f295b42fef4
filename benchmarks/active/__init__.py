"""Strategies against random, on whole replays."""
