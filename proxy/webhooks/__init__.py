"""The webhooks of the private listener: the requests that gateways send about streams (gateway contract section 5)."""
