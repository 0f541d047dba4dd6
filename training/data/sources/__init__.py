"""Public data sets, one file each, turned into rows. Files here are discovered, not listed."""
