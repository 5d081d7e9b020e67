"""How a detector lays out its boxes: one class, one file each."""
