"""Payments over HTTP: the webhooks of providers, and checkouts of apps."""
