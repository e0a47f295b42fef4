"""Which task next: uncertainty measures and the score, as pure functions."""
