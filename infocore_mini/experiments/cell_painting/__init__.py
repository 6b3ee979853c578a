"""Chapter 05: cell painting."""
