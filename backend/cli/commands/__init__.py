"""The commands, a module for each group of them. What they print in tables is in views."""
