"""Live video-to-video signalling: what the gate adds to it, and what it answers in the gateway's place."""
