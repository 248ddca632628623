"""Registered frozen models."""

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from service.database.tables import models


@dataclass(frozen=True)
class ModelRow:
    """A name, the bundle behind it, and the kill switch."""

    name: str
    digest: str
    frozen_sha256: str
    correction_enabled: bool


def add(connection: Connection, row: ModelRow) -> None:
    """Register a model; the name must be free."""
    connection.execute(insert(models).values(**vars(row)))


def replace_digest(connection: Connection, name: str, digest: str) -> None:
    """Point a name at another bundle of the same frozen model (a new fingerprint)."""
    connection.execute(update(models).where(models.c.name == name).values(digest=digest))


def set_correction(connection: Connection, name: str, enabled: bool) -> None:
    """The kill switch: identity everywhere while it is off."""
    connection.execute(update(models).where(models.c.name == name).values(correction_enabled=enabled))


def find(connection: Connection, name: str) -> ModelRow | None:
    """One model by name."""
    row = connection.execute(select(models).where(models.c.name == name)).one_or_none()
    return ModelRow(**row._mapping) if row else None


def every(connection: Connection) -> list[ModelRow]:
    """All models by name."""
    return [ModelRow(**row._mapping) for row in connection.execute(select(models).order_by(models.c.name))]
