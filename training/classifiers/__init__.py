"""Training a detector: module, losses, calibration."""
