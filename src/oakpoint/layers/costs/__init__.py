"""What each layer of a blob costs, and what another in its place would save."""
