"""What an operator can do, without HTTP: the interfaces in `ports`, the work itself beside it.

The admin API puts routes before these operations; `tollgate` calls them directly, or through those routes.
"""
