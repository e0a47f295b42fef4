"""Image files -> arrays as browsers show them, and where the images of tasks lie. No masks."""
