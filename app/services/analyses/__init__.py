"""Scans on their way to a verdict, and what was found."""
