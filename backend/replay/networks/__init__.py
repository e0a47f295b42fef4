"""What of a replay loads networks: training, predicting, and the process around them."""
