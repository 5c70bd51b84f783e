"""Reports over all apps, for operators."""
