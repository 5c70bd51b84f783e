"""Developers over HTTP: sign in with a wallet, and see and end sessions."""
