"""Finding a model by what a person types: a bundle's folder, a registered name, or a name that ships."""

from pathlib import Path

from service import catalog
from service.contract.bundle import MANIFEST, Bundle, read_bundle
from service.contract.manifest import ModelManifest
from service.contract.store import LocalStore
from service.database import models
from service.database.engine import Database
from service.database.migrate import migrate
from service.settings import Settings, shipped_models, shipped_names


def open_home(settings: Settings) -> tuple[Database, LocalStore]:
    """Database and store of a home, made if they are not there, with the models registered that `shipped` names."""
    database = Database(settings.url)
    migrate(database)
    store = LocalStore(settings.store_dir)
    catalog.install_shipped(shipped_models(), settings.shipped, database, store)
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
        with database.read() as connection:
            is_registered = models.find(connection, name) is not None
        # To fit in front of a model that ships it need not be served.
        if not is_registered and name in shipped_names():
            return read_bundle(shipped_models() / name, ModelManifest)
        return catalog.read_model(name, database, store)
    finally:
        database.close()
