"""nnU-Net's own zip of a trained model: written, and read with the care foreign files need."""
