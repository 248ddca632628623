"""Putting a model's bundle under a name: what `register` and the first start of the service share."""

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import Connection

from service.contract.bundle import Bundle, read_bundle
from service.contract.errors import StoreError
from service.contract.manifest import ModelManifest
from service.contract.store import ArtifactStore
from service.database import domains, models, versions
from service.database.engine import Database


class NameTaken(Exception):
    """The name belongs to another frozen model, or to this one with another input."""


def install(bundle: Bundle[ModelManifest], database: Database, store: ArtifactStore) -> None:
    """Keep the bundle and register its name, with the domain `default`.

    Registering the same frozen model again replaces its fingerprint; versions and aliases stay.

    Raises:
        NameTaken: the name belongs to other bytes, or to these with another input that versions were fitted for.
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
            _refuse_another_input(manifest, store.read(known.digest, ModelManifest).manifest, connection)
            models.replace_digest(connection, manifest.name, digest)
        else:
            raise NameTaken(
                f"model '{manifest.name}' is registered with SHA-256 {known.frozen_sha256[:12]}; "
                f"these bytes have {manifest.frozen_sha256[:12]}: choose another name"
            )


def _refuse_another_input(new: ModelManifest, known: ModelManifest, connection: Connection) -> None:
    """Versions were fitted for one range and normalisation of pixels; behind another they would do harm."""
    fitted = versions.of_model(connection, new.frozen_sha256)
    if fitted and new.input != known.input:
        raise NameTaken(
            f"model '{new.name}' has {len(fitted)} versions that were fitted for another shape, range or normalisation "
            "of its input; register it with the same options, or under another name"
        )


def install_shipped(folder: Path, names: Iterable[str], database: Database, store: ArtifactStore) -> list[str]:
    """Register those of `names` that are not registered yet, from `folder`; what is registered is never changed.

    Returns:
        The names that are new.

    Raises:
        BundleError: a name has no bundle in `folder`, or one that breaks a rule.
    """
    with database.read() as connection:
        known = {row.name for row in models.every(connection)}
    new = sorted(set(names) - known)
    for name in new:
        install(read_bundle(folder / name, ModelManifest), database, store)
    return new


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
