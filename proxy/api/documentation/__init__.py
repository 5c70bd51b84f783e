"""The page that shows the schema of the API to people."""
