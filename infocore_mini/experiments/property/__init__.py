"""Chapter 07: property prediction."""
