"""ONNX to ONNX, one file for each rewrite: what it matches, why the result is equal, how far off it may be."""
