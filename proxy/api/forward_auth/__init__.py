"""Forward-auth: other proxies ask whom to let in."""
