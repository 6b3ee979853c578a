"""Chapter 00: what goes wrong in a screen."""
