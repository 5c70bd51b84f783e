"""Reading the ledger: usage from the running totals, statements and exports from the streams of events."""
