"""Reports from the ledger: usage by running totals, statements and exports by the streams of events."""
