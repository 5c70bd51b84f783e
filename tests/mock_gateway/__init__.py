"""The mock gateway against the gateway contract, over real sockets."""
