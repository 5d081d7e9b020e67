"""Networks and their weights; the only home of torch modules."""
