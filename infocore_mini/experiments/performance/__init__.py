"""Chapter 10: speed and memory."""
