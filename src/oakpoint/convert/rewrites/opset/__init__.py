"""Operators of any opset in the words of the device's."""
