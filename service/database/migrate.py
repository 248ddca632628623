"""Bringing the database to this release's schema: ours by Alembic, the job queue's by DBOS itself."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from service.database.engine import Database

SCRIPTS = Path(__file__).parent / "migrations"


def migrate(database: Database) -> None:
    """Create or upgrade our tables. Safe to call from several processes at once: the write lock is held throughout."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("path_separator", "os")
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
