"""How well wrong labels are found: labels broken in five ways, and where they are ranked."""
