"""Which weights serve, how they do at this site, and whether that drifts."""
