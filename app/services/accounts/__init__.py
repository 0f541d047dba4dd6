"""Accounts and how people sign in to them."""
