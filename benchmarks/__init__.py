"""Speed and memory as ratios, each measured in one run; ``make bench`` writes them to ``data/results/``."""
