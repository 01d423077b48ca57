"""What alembic runs to reach the database: what `upgrade` says, in its caller's transaction."""

from alembic import context

context.configure(**context.config.attributes["options"])
context.run_migrations()
