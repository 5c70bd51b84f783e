"""The history: the database behind the ledger, which keeps for years what Redis keeps for hours."""
