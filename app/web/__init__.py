"""Requests in, responses out: one blueprint a page family, and what they share."""
