"""How good predictions are: of a version on its project's cases, or of label maps in folders."""
