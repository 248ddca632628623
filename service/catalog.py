"""Putting a model's bundle under a name: what `register` and the first start of the service share."""

from pathlib import Path

from service.contract.bundle import MANIFEST, Bundle, read_bundle
from service.contract.errors import StoreError
from service.contract.manifest import ModelManifest
from service.contract.store import ArtifactStore
from service.database import domains, models
from service.database.engine import Database


class NameTaken(Exception):
    """The name belongs to another frozen model."""


def install(bundle: Bundle[ModelManifest], database: Database, store: ArtifactStore) -> None:
    """Keep the bundle and register its name, with the domain `default`.

    Registering the same frozen model again replaces its fingerprint; versions and aliases stay.

    Raises:
        NameTaken: the name belongs to other bytes.
        StoreError: the store cannot keep it.
    """
    manifest = bundle.manifest
    digest = store.publish(bundle)
    with database.write() as connection:
        known = models.find(connection, manifest.name)
        if known is None:
            models.add(connection, models.ModelRow(manifest.name, digest, manifest.frozen_sha256, True))
            domains.add(connection, domains.DomainRow(manifest.name, domains.DEFAULT))
        elif known.frozen_sha256 == manifest.frozen_sha256:
            models.replace_digest(connection, manifest.name, digest)
        else:
            raise NameTaken(
                f"model '{manifest.name}' is registered with SHA-256 {known.frozen_sha256[:12]}; "
                f"these bytes have {manifest.frozen_sha256[:12]}: choose another name"
            )


def install_shipped(folder: Path, database: Database, store: ArtifactStore) -> list[str]:
    """Register the models that ship and are not registered yet; what is registered already is never changed."""
    with database.read() as connection:
        known = {row.name for row in models.every(connection)}
    found = sorted(entry.parent for entry in folder.glob(f"*/{MANIFEST}") if entry.parent.name not in known)
    for entry in found:
        install(read_bundle(entry, ModelManifest), database, store)
    return [entry.name for entry in found]


def read_model(name: str, database: Database, store: ArtifactStore) -> Bundle[ModelManifest]:
    """The bundle behind a name.

    Raises:
        StoreError: no model of that name.
    """
    with database.read() as connection:
        row = models.find(connection, name)
    if row is None:
        raise StoreError(f"no model '{name}' is registered; see `foreoptic ls`")
    return store.read(row.digest, ModelManifest)
