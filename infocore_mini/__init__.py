"""InfoCORE-mini: molecule and screen embeddings that do not learn the experimental batch."""

__version__ = "0.1.0"

__all__ = ["CCL", "CLIP", "InfoCORE"]


def __getattr__(name: str):
    """The estimators, when first asked for: training needs neither scikit-learn nor the memory that it takes."""
    if name in __all__:
        from infocore_mini import estimator

        return getattr(estimator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
