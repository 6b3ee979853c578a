"""New plates: what holds on experimental batches that nobody trained on, as planned in ``plan.md``."""
