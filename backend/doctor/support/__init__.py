"""The support file, and what keeps secrets out of it and out of everything that is said."""
