"""The admin API: everything that an operator can do, as operations, and over HTTP."""
