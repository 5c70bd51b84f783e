"""The operator's half of the portal: pages that show the whole house, and forms that do what `tollgate` does."""
