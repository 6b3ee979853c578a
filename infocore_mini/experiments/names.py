"""How methods and arms are called on the pages."""

from __future__ import annotations

METHOD_NAMES = {"clip": "CLIP", "ccl": "CCL", "infocore": "InfoCORE"}


def arm_name(arm: str) -> str:
    """The label of an arm such as ``"clip, own best"``: ``"CLIP, own best"``."""
    method, comma, rest = arm.partition(",")
    return METHOD_NAMES.get(method, method) + comma + rest
