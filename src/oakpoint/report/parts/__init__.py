"""What pages are made of; knows nothing of networks."""
