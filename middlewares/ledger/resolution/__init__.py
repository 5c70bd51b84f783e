"""Decisions about events that a person should look at."""
