"""What an app's own dashboard may link to: one page for one subject, which changes nothing."""
