"""Side-by-side measurements: a module with a `main` prints its figures as a last line of JSON."""
