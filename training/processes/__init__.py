"""Starting nnloop's modules in processes of their own, and leaving none behind."""
