"""Metrics that a tenant scrapes with its own key."""
