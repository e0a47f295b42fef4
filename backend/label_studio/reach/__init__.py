"""Where images may be read from, and who gets the key there."""
