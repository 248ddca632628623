"""Finding a model by what a person types: a bundle's folder, a registered name, or a name that ships."""

from pathlib import Path

from service import catalog
from service.contract.bundle import MANIFEST, Bundle, read_bundle
from service.contract.manifest import ModelManifest
from service.contract.store import LocalStore
from service.database.engine import Database
from service.database.migrate import migrate
from service.settings import Settings, shipped_models


def open_home(settings: Settings) -> tuple[Database, LocalStore]:
    """Database and store of a home, made if they are not there, with the shipped models registered."""
    database = Database(settings.url)
    migrate(database)
    store = LocalStore(settings.store_dir)
    catalog.install_shipped(shipped_models(), database, store)
    return database, store


def find_model(name: str, settings: Settings) -> Bundle[ModelManifest]:
    """The bundle that `name` means.

    Raises:
        ContractError: there is none, or it breaks a rule.
    """
    folder = Path(name)
    if (folder / MANIFEST).is_file():
        return read_bundle(folder, ModelManifest)
    database, store = open_home(settings)
    try:
        return catalog.read_model(name, database, store)
    finally:
        database.close()
