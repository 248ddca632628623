"""Domains and their aliases. Every change of an alias raises the generation, and may demand the one it was based on."""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, delete, func, insert, select, update

from service.contract.manifest import IDENTITY
from service.database.tables import domains

DEFAULT = "default"


class Mode(StrEnum):
    """What becomes of a promoted version."""

    OFF = "off"
    """Batches are refused."""
    RECOMMEND = "recommend"
    """It waits for approval."""
    AUTO = "auto"
    """It becomes champion."""


@dataclass(frozen=True)
class DomainRow:
    """One domain of one model: where its aliases point."""

    model: str
    name: str
    mode: str = Mode.AUTO
    canary_share: float = 0.0
    champion: int = IDENTITY
    shadow: int | None = None
    previous: int | None = None
    generation: int = 1


def add(connection: Connection, row: DomainRow) -> None:
    """Create a domain; it must not exist."""
    connection.execute(insert(domains).values(**vars(row)))


def count(connection: Connection, model: str) -> int:
    """How many domains a model has."""
    query = select(func.count()).select_from(domains).where(domains.c.model == model)
    return int(connection.execute(query).scalar_one())


def find(connection: Connection, model: str, name: str) -> DomainRow | None:
    """One domain."""
    query = select(domains).where(domains.c.model == model, domains.c.name == name)
    row = connection.execute(query).one_or_none()
    return DomainRow(**row._mapping) if row else None


def every(connection: Connection, model: str | None = None) -> list[DomainRow]:
    """All domains, or those of one model."""
    query = select(domains).order_by(domains.c.model, domains.c.name)
    if model is not None:
        query = query.where(domains.c.model == model)
    return [DomainRow(**row._mapping) for row in connection.execute(query)]


def configure(connection: Connection, row: DomainRow, *, mode: str, canary_share: float) -> bool:
    """Change the settings of a domain that is still at `row.generation`; False if someone else was faster."""
    return _update(connection, row, mode=mode, canary_share=canary_share)


def point(connection: Connection, row: DomainRow, *, champion: int) -> bool:
    """Make a version champion and keep the old champion as previous; False if someone else was faster."""
    return _update(connection, row, champion=champion, previous=row.champion)


def remove(connection: Connection, row: DomainRow) -> bool:
    """Forget a domain; False if it changed meanwhile. Its versions stay."""
    result = connection.execute(delete(domains).where(*_unchanged(row)))
    return result.rowcount == 1


def _update(connection: Connection, row: DomainRow, **values: object) -> bool:
    statement = update(domains).where(*_unchanged(row)).values(generation=row.generation + 1, **values)
    return connection.execute(statement).rowcount == 1


def _unchanged(row: DomainRow):  # type: ignore[no-untyped-def]  # SQLAlchemy's element types are not worth naming here
    return domains.c.model == row.model, domains.c.name == row.name, domains.c.generation == row.generation
