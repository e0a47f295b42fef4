"""Which task next: uncertainty measures and query strategies, as pure functions."""
