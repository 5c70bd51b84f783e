"""What the history keeps so that a request can be explained: refusals, and the versions of plans."""
