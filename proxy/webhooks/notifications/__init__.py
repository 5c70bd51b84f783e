"""Notifications by signed webhooks: found in what stands already, written to an outbox, delivered."""
