"""What is installed, what is plugged in, what is missing, and the one command that mends it."""
