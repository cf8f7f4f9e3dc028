"""Measurement of trained networks: accuracy, calibration, precision and cost."""
