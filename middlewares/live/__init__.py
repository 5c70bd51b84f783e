"""Live video-to-video signalling and BYOC streams: what Tollgate adds to them, and answers in the gateway's place."""
