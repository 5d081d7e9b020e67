"""Images as the camera gives them: levels 0–255, channels first."""
