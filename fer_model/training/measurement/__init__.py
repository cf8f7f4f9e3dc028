"""What trained networks are worth: accuracy, calibration, precision and cost."""
