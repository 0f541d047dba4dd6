"""Signed reports, and whether one is genuine."""
