"""Explanations of requests over HTTP."""
