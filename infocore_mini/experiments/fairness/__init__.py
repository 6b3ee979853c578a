"""Chapter 08: fair representations."""
