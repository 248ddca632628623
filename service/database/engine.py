"""Opening the database, and its two kinds of transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import make_url

BUSY_TIMEOUT_MS = 30_000
POOL = 40


class Database:
    """A pool of connections to the database at `url`."""

    def __init__(self, url: str) -> None:
        self.url = url
        parsed = make_url(url)
        self._sqlite = parsed.get_backend_name() == "sqlite"
        if self._sqlite and parsed.database:
            # Batches lie here until their job is done: nobody else's business.
            Path(parsed.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # As many as the threads that answer requests: nobody queues for a connection behind one who waits for a lock.
        self._engine = create_engine(url, pool_size=POOL, max_overflow=0)
        if self._sqlite:
            event.listen(self._engine, "connect", _prepare_sqlite)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that changes nothing; it does not wait for writers."""
        with self._engine.connect() as connection:
            if self._sqlite:
                connection.exec_driver_sql("BEGIN")
            try:
                yield connection
            finally:
                connection.rollback()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that commits as a whole when the block ends, or not at all."""
        with self._engine.connect() as connection:
            if self._sqlite:
                # Take the write lock now: a read that is upgraded later may fail instead of waiting.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            with connection.get_transaction() or connection.begin():
                yield connection

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # None: this module says BEGIN itself; the driver's own implicit transactions start too late.
    connection.isolation_level = None
    connection.execute("PRAGMA journal_mode=WAL")
    # FULL: an answered request must survive a power cut, not only a crash of the process.
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys=ON")
