"""Who may look at pages and send forms: sign-in, sessions, cookies, tokens of forms."""
