"""Pages for second opinions."""
