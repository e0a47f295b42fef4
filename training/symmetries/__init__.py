"""Which flips and turns of an image leave the meaning of its classes alone."""
