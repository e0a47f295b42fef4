"""What exports and imports keep: what is done, what was left out, JSON in a stream. No formats."""
