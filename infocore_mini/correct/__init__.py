"""Corrections of the readout, learnt on one screen and applied to others: ``fit(screen)``, ``transform(screen)``."""

from .centring import BatchCentring

__all__ = ["BatchCentring"]
