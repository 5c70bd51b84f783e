"""Payments of customers: what providers report, what it is worth, and checkouts."""
