"""Running totals of the history: their names, and their sums."""
