"""How long the history keeps events, and how they leave it."""
