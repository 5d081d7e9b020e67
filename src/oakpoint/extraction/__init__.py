"""Features of many images: which images, and the file that they go into."""
