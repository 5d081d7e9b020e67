"""Whatever exporters write, brought to one form: constants, types, sizes."""
