"""Refusals, recorded for whoever asks why: what was decided, by which rule, and on which numbers."""
