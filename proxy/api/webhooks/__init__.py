"""Endpoints that webhooks are sent to, over HTTP: for apps, and for operators."""
