"""What the history keeps so that an answer can be explained: refusals, and the versions of plans."""
