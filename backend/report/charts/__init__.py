"""Charts of the report, as pictures that stand in the page itself."""
