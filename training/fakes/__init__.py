"""Generators of fakes, one file each, and their production."""
