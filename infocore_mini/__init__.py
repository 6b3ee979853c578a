"""InfoCORE-mini: molecule and screen embeddings that do not learn the experimental batch."""

__version__ = "0.1.0"

from infocore_mini.estimator import CCL, CLIP, InfoCORE

__all__ = ["CCL", "CLIP", "InfoCORE"]
