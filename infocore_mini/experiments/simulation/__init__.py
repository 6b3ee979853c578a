"""Chapter 02: the simulation study."""
