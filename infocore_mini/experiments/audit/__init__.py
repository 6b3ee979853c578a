"""The audit on simulated designs, where the truth is known, and on the real screens of the book."""
