"""What apps and the operator are told by signed webhooks: found in what stands already, written to an outbox, sent."""
