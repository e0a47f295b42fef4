"""nnU-Net as a training engine: cases, folds, versions and prediction."""
