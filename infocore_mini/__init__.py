"""InfoCORE-mini: molecule and screen embeddings that do not learn the experimental batch."""

__version__ = "0.1.0"
