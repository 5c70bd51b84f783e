"""The pages of an app."""
