"""Many files at once, archives and series, with their progress."""
