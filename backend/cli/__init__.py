"""The command line: `nnloop`."""
