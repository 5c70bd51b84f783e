"""What `tollgate demo` shows: two tenants, a week of traffic, a refused request to explain, and a stream that runs."""
