"""Shares of the limits, from which a worker admits by itself."""
