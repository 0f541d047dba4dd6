"""The list of somebody's analyses."""
