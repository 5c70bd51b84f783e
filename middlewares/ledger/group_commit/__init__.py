"""Ends of requests that a worker has admitted by itself: kept in a write-ahead log, committed in groups."""
