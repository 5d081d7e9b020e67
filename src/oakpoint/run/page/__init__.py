"""A page of this machine that shows a run as it goes and turns its controls; no part of it comes from elsewhere."""
