"""Recordings: frames to a video, an animated GIF, a folder of images or one image."""
