"""Measurements of whole pipelines, and the reports that they go to."""
