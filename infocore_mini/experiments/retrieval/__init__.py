"""Chapter 06: retrieval."""
