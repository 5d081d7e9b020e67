"""Networks that a student learns from, behind one small protocol."""
