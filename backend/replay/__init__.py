"""The loop played again on images whose labels are known: what a strategy would have gained."""
