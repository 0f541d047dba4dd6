"""Scans, their sides and how a detector is fed with them."""
