"""The gateway stand-in against the gateway contract, over real sockets."""
