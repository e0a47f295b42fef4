"""`python -m backend.cli` is `nnloop`."""

from backend.cli.main import main

main()
