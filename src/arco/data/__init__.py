"""From the original download to training batches."""
