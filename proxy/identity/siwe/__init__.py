"""Sign-In with Ethereum (EIP-4361): the message's grammar, what it must say, and whose signature it bears. Pure."""
