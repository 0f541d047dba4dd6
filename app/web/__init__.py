"""Requests in, responses out: one folder a page family, and beside them what they share."""
