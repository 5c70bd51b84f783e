"""The issuer over HTTP: discovery, key set, token, revocation and introspection endpoints."""
