"""The routes of the mock gateway, one by one."""
