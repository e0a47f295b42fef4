"""What of training and predicting from files loads networks: in processes of its own."""
