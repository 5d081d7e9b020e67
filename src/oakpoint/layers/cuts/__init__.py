"""Where a network is cut in two, and what that costs."""
