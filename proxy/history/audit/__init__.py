"""The audit log in the history: lines in a chain, append-only, read together with those still in Redis."""
