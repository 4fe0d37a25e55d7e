"""Looking into a separation: embeddings, claims, presence and masks of a recording, and why."""
