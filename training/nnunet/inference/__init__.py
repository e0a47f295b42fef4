"""Prediction with a version's networks: pixels in, each fold's logits and probabilities out."""
