"""Judging a detector: one prediction file, everything else computed from it."""
