"""The folds of a run: queue, budget, ledger, training. No decision about versions."""
