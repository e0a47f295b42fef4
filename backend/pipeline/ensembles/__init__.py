"""Versions averaged into one: which, and what it was measured to be worth."""
