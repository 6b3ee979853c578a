"""Chapter 01: the derivation."""
