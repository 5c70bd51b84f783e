"""Processes beside the workers, which the supervisor keeps running."""
