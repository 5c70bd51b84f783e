"""Sign-in at an OpenID Connect provider: Authlib speaks the protocol, by our own connections and rules."""
