"""Label maps and probabilities -> regions with few, well-placed points. No JSON, no files."""
