"""How good predictions turned out to be: honest pairs, and what is learnt from them."""
