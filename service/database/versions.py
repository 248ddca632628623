"""Published versions: immutable, numbered from 1 per frozen model. Version 0, the identity, has no row."""

from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select

from service.database.tables import versions


@dataclass(frozen=True)
class VersionRow:
    """One published corrector."""

    frozen_sha256: str
    number: int
    digest: str
    domain: str
    job_id: str | None
    decision: str
    method: str
    created_at: float


def next_number(connection: Connection, frozen_sha256: str) -> int:
    """The number for a new version; call it in the transaction that adds the version."""
    query = select(func.max(versions.c.number)).where(versions.c.frozen_sha256 == frozen_sha256)
    return (connection.execute(query).scalar() or 0) + 1


def add(connection: Connection, row: VersionRow) -> None:
    """Publish a version."""
    connection.execute(insert(versions).values(**vars(row)))


def find(connection: Connection, frozen_sha256: str, number: int) -> VersionRow | None:
    """One version by number."""
    query = select(versions).where(versions.c.frozen_sha256 == frozen_sha256, versions.c.number == number)
    row = connection.execute(query).one_or_none()
    return VersionRow(**row._mapping) if row else None


def of_model(connection: Connection, frozen_sha256: str) -> list[VersionRow]:
    """All versions of a frozen model, newest first."""
    query = select(versions).where(versions.c.frozen_sha256 == frozen_sha256).order_by(versions.c.number.desc())
    return [VersionRow(**row._mapping) for row in connection.execute(query)]
