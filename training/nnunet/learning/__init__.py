"""One fold: nnU-Net's trainer in a loop, and the process it runs in."""
