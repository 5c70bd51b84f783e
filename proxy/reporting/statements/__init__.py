"""Statements: what an app owes for a period, from its events alone."""
