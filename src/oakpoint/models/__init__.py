"""What MODEL is: a small description that can be pickled and opens itself, to run or to be converted."""
