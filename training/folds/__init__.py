"""One fold from its spec to its result: splits, epochs, the child that trains. No torch."""
