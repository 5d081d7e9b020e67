"""Parts of a network tried on a target, and which layers it refuses."""
