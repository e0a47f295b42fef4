"""Labels in files: which format they are, and what a project makes of them."""
