"""What an embedding is worth: retrieval, mixing of experimental batches, transfer to molecular properties, fairness."""
