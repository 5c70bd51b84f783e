"""What this deployment offers: the catalog, the schema of the client routes, and `/llms.txt`."""
