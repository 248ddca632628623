"""Alembic's entry point: migrates over the connection that `service.database.migrate` hands in."""

from alembic import context

from service.database.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
