"""Export of the streams of usage events to another system, at least once and in batches."""
