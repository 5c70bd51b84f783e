"""The webhooks of the private listener: what gateways ask about streams (gateway contract section 5)."""
