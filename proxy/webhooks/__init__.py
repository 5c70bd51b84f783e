"""The webhooks of the private listener, which gateways and signers call (`CONTRACT.md` section 5)."""
