"""All operations through the admin API of a running server."""
