"""The archiver: moves events from Redis to the history, then trims Redis."""
