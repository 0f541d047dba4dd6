"""Where scans come in."""
