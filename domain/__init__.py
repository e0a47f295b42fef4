"""The field's words as frozen types. Imports numpy and the standard library only."""
