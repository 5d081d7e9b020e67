"""Operators that the compiler refuses or compiles to something else, in other operators."""
