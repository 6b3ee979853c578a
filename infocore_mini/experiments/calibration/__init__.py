"""Calibration of the simulated screens on real plates."""
