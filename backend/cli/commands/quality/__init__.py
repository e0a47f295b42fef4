"""Commands that judge: labels, predictions, strategies, people's effort."""
