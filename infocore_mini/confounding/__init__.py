"""Is this representation confounded? `audit` says clean, confounded, over-corrected or cannot tell, and how it knows."""

from infocore_mini.confounding.auditing import Audit, audit
from infocore_mini.confounding.rows import labelled_rows

__all__ = ["Audit", "audit", "labelled_rows"]
