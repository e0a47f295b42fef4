"""The labelling interface: its classes and controls, read or guessed."""
