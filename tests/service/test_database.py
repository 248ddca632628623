"""The database: migrations make exactly the tables that the code names, by any number of processes at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from service.database import domains, models, versions
from service.database.engine import Database
from service.database.migrate import migrate
from service.database.tables import metadata

MODEL = models.ModelRow("m", "d" * 64, "f" * 64, True)


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'x.db'}")
    migrate(database)
    yield database
    database.close()


def test_migrations_make_the_tables_that_the_code_names(database) -> None:
    with database.read() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)

    assert [] == differences


def test_several_processes_may_migrate_at_once(tmp_path) -> None:
    databases = [Database(f"sqlite:///{tmp_path / 'y.db'}") for _ in range(4)]

    with ThreadPoolExecutor(1) as pool:
        # Alembic keeps its context in globals, so one thread; the write lock is what other processes meet.
        list(pool.map(migrate, databases))

    for database in databases:
        with database.read() as connection:
            assert [] == models.every(connection)
        database.close()


def test_a_write_that_fails_leaves_nothing(database) -> None:
    with pytest.raises(RuntimeError), database.write() as connection:
        models.add(connection, MODEL)
        raise RuntimeError

    with database.read() as connection:
        assert [] == models.every(connection)


def test_numbers_grow_per_frozen_model(database) -> None:
    with database.write() as connection:
        for sha256 in ("a" * 64, "a" * 64, "b" * 64):
            number = versions.next_number(connection, sha256)
            versions.add(connection, versions.VersionRow(sha256, number, "d" * 64, "x", None, "hold", "m", 0.0))

        found = [[row.number for row in versions.of_model(connection, sha)] for sha in ("a" * 64, "b" * 64)]

    assert [[2, 1], [1]] == found


def test_an_alias_moves_once_per_generation(database) -> None:
    with database.write() as connection:
        models.add(connection, MODEL)
        row = domains.DomainRow("m", "x")
        domains.add(connection, row)

        moved = [domains.point(connection, row, champion=number) for number in (1, 2)]
        after = domains.find(connection, "m", "x")

    assert [True, False] == moved
    assert (after.champion, after.previous, after.generation) == (1, 0, 2)
