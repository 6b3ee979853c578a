"""Chapter 11: from a file to an answer."""
