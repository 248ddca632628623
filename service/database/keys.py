"""API keys: their hashes, and what each may do. A key that is revoked stays, so that its name is not given again."""

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from service.database.tables import keys


@dataclass(frozen=True)
class KeyRow:
    """One key.

    Attributes:
        id: the part of the key that is no secret.
        sha256: of the whole key.
        scopes, domains: separated by commas; no domains stand for all of them.
        predict_per_s, adapt_per_h: how many images and batches; as many as it likes where None.
        created_at, expires_at, revoked_at: seconds since 1970.
    """

    id: str
    name: str
    sha256: str
    scopes: str
    domains: str | None
    predict_per_s: float | None
    adapt_per_h: float | None
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None


def add(connection: Connection, row: KeyRow) -> None:
    """Keep a new key; its name must be new."""
    connection.execute(insert(keys).values(**vars(row)))


def find(connection: Connection, name: str) -> KeyRow | None:
    """One key by its name."""
    row = connection.execute(select(keys).where(keys.c.name == name)).one_or_none()
    return KeyRow(**row._mapping) if row else None


def every(connection: Connection) -> list[KeyRow]:
    """All keys, revoked ones too, by name."""
    return [KeyRow(**row._mapping) for row in connection.execute(select(keys).order_by(keys.c.name))]


def revoke(connection: Connection, name: str, at_s: float) -> bool:
    """End a key; False if there is none of that name that is not revoked already."""
    open_ = keys.c.name == name, keys.c.revoked_at.is_(None)
    return connection.execute(update(keys).where(*open_).values(revoked_at=at_s)).rowcount == 1
