"""What labelling has brought so far, and what more of it would bring."""
