"""Runs the migrations on the connection that `proxy.history.schema` hands in."""

from alembic import context

from proxy.history.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table=context.config.attributes["version_table"],
)
with context.begin_transaction():
    context.run_migrations()
