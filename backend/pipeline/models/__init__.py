"""What a person does with versions: list, compare, promote, roll back, prune, export, import."""
