"""How each kind of result is followed, drawn and summed up: one class, one file each."""
