"""What the command line shows: tables, sentences in the terminal's width, progress."""
