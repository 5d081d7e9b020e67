"""Reports for people: one page in a file of its own, made of parts that all commands share."""
