"""Pages on one scan or one study: what was found and why."""
