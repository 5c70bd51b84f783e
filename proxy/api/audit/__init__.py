"""The audit log and the API: routes that change something write a line, and a tenant reads its own lines."""
