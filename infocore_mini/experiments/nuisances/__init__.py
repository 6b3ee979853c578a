"""Two nuisances at once, on simulated truth: what is left of each, and what is kept of the effect."""
