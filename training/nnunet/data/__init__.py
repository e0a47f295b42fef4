"""From images and label maps to nnU-Net's plans and preprocessed cases."""
