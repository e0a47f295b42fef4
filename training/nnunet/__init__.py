"""The only place that imports nnunetv2 and torch."""
