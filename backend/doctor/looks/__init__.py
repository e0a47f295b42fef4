"""The checks, one module per thing that is looked at."""
