"""Usage and balances over HTTP."""
