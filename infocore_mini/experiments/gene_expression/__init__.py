"""Chapter 04: gene expression."""
