"""What is known of tasks: snapshots, predictions, queues, embeddings, problems."""
