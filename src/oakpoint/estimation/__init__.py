"""The geometry that matched points of two images agree on: a homography, a fundamental or an essential matrix.

Everything here works on points alone, in pixels of their images, and knows neither features nor networks.
"""
