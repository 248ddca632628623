"""Which version is active for which domain: verify -> load -> rehearse -> warm -> swap.

The database holds what is wanted, this class what is loaded. `refresh` makes the second follow the first, so that a
restart, another replica and a command line all reach the same state. A request takes a `Handle`, an immutable snapshot:
a swap in mid-flight cannot mix versions. Whatever fails, what was served before stays.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from service import log
from service.contract.errors import ContractError
from service.contract.manifest import IDENTITY, CorrectorManifest
from service.contract.store import ArtifactStore
from service.database import domains, models, versions
from service.database.domains import DomainRow
from service.database.engine import Database
from service.database.models import ModelRow
from service.engine.pipeline import Version
from service.engine.provider import Provider
from service.engine.rehearsal import rehearse
from service.engine.session import SessionError
from service.metrics import Metrics
from service.served import ServedModel, load_model

UNCORRECTED = Version(IDENTITY, None)
RETRY_S = 30.0
"""A model that cannot be loaded is tried again after that long: a disk may have come back."""
ALIASES = ("champion", "shadow", "previous")

logger = log.get(__name__)


class Unknown(Exception):
    """No such model, domain, version or alias."""


class Stale(Exception):
    """The domain changed since the caller looked."""


@dataclass(frozen=True)
class Handle:
    """What one request is answered with, from admission to the last byte."""

    model: ServedModel
    domain: str
    version: Version


@dataclass(frozen=True)
class _Active:
    row: DomainRow
    champion: Version


class Registry:
    """Loaded models and the active version of every domain.

    Args:
        threads: of one session.
        micro_batch: most images in a run; the sizes up to it are compared when a model is loaded.
        pinned: versions kept loaded because a request named them.
        clock: seconds that only rise.
    """

    def __init__(
        self,
        database: Database,
        store: ArtifactStore,
        metrics: Metrics,
        *,
        threads: int,
        micro_batch: int,
        pinned: int,
        provider: Provider = Provider.CPU,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._store = store
        self._metrics = metrics
        self._threads = threads
        self._provider = provider
        self._micro_batch = micro_batch
        self._pinned_limit = pinned
        # Dictionaries are replaced, never changed: readers on the event loop need no lock.
        self._models: dict[str, ServedModel] = {}
        self._active: dict[tuple[str, str], _Active] = {}
        self._pinned: OrderedDict[tuple[str, int], Version] = OrderedDict()
        self._writing = threading.RLock()
        self._clock = clock
        self._retry_at: dict[str, float] = {}

    # Reading: no disk, no database, no lock.

    def model(self, name: str) -> ServedModel:
        """A loaded model by name.

        Raises:
            Unknown: there is none.
        """
        if name not in self._models:
            raise Unknown(f"no model '{_shown(name)}'; see /v1/models")
        return self._models[name]

    def names(self) -> list[str]:
        """Names of the loaded models."""
        return sorted(self._models)

    def domain(self, model: str, name: str) -> DomainRow:
        """A domain as it is served.

        Raises:
            Unknown: no such model or domain.
        """
        self.model(model)
        return self._find_active(model, name).row

    def champion(self, model: str, domain: str) -> Handle:
        """The version that a request gets which names none."""
        served = self.model(model)
        active = self._find_active(model, domain)
        return Handle(served, domain, active.champion if served.row.correction_enabled else UNCORRECTED)

    # Reading what may have to be loaded first: call off the event loop.

    def pinned(self, model: str, domain: str, version: str) -> Handle:
        """The version that a request names by number or by alias.

        Raises:
            Unknown: no such version.
            ContractError, SessionError: it is there and cannot be served.
        """
        handle = self.champion(model, domain)
        number = self.number(self._find_active(model, domain).row, version)
        chosen = self.prepare(handle.model, number)
        return replace(handle, version=chosen if handle.model.row.correction_enabled else UNCORRECTED)

    def prepare(self, model: ServedModel, number: int) -> Version:
        """A version of a model, verified, loaded, rehearsed and warm.

        Raises:
            Unknown: there is no such version.
            ContractError, SessionError: its bundle is damaged, does not fit, or does not run.
        """
        if number == IDENTITY:
            return UNCORRECTED
        key = model.row.digest, number
        # Without the lock: a request for a version that is loaded must not wait for an activation.
        loaded = self._pinned.get(key)
        if loaded is not None:
            return loaded
        with self._writing:
            with self._database.read() as connection:
                row = versions.find(connection, model.manifest.frozen_sha256, number)
            if row is None:
                raise Unknown(f"no version {number}; see /v1/models/{model.row.name}/versions")
            bundle = self._store.read(row.digest, CorrectorManifest)
            version = rehearse(bundle, number, model.manifest, threads=self._threads, provider=self._provider)
            self._pinned[key] = version
            while len(self._pinned) > self._pinned_limit:
                self._pinned.popitem(last=False)
            return version

    # Changing.

    def activate(
        self,
        model: str,
        domain: str,
        number: int,
        *,
        generation: int | None = None,
        also: Callable[[Connection], None] = lambda _connection: None,
    ) -> DomainRow:
        """Make a version champion of a domain, durably, and serve it.

        Args:
            generation: the one that the caller's decision rests on, if it rests on one.
            also: what must happen in the same transaction as the move of the alias.

        Raises:
            Unknown: no such model, domain or version.
            Stale: `generation` is given and no longer the domain's, or someone else was faster.
            ContractError, SessionError: the version cannot be served; the champion stays.
        """
        served = self.model(model)
        with self._writing:
            version = self._rehearsed(served, number)
            with self._database.write() as connection:
                row = domains.find(connection, model, domain)
                if row is None:
                    raise Unknown(f"no domain '{_shown(domain)}' of model '{model}'")
                if generation is not None and generation != row.generation:
                    raise Stale(f"domain '{domain}' is at generation {row.generation}, not {generation}")
                if row.champion != number and not domains.point(connection, row, champion=number):
                    raise Stale(f"domain '{domain}' changed meanwhile")
                also(connection)
                after = domains.find(connection, model, domain)
            assert after is not None
            self._swap(after, version)
            self._metrics.show_active({key: active.champion.number for key, active in self._active.items()})
        return after

    def refresh(self) -> None:
        """Follow the database: new models, new domains, moved aliases, the kill switch."""
        with self._writing:
            with self._database.read() as connection:
                model_rows, domain_rows = models.every(connection), domains.every(connection)
            loaded = {row.name: self._models.get(row.name) for row in model_rows}
            for row in model_rows:
                served = loaded[row.name]
                if served is None or served.row != row:
                    loaded[row.name] = self._load(row, served)
            self._models = {name: served for name, served in loaded.items() if served is not None}
            wanted = {(row.model, row.name) for row in domain_rows}
            self._active = {key: active for key, active in self._active.items() if key in wanted}
            for domain_row in domain_rows:
                self._follow(domain_row)
            self._metrics.show_active({key: active.champion.number for key, active in self._active.items()})

    # Steps of the above.

    def _load(self, row: ModelRow, before: ServedModel | None) -> ServedModel | None:
        if before is not None and before.row.digest == row.digest:
            return replace(before, row=row)
        if self._clock() < self._retry_at.get(row.digest, 0.0):
            return before
        served = load_model(
            row, self._store, threads=self._threads, micro_batch=self._micro_batch, provider=self._provider
        )
        if served is None:
            # Reading and hashing gigabytes again at every look at the database would help nobody.
            self._retry_at[row.digest] = self._clock() + RETRY_S
        return served or before

    def _follow(self, row: DomainRow) -> None:
        key = row.model, row.name
        active = self._active.get(key)
        if row.model not in self._models or (active is not None and active.row == row):
            return
        kept = active.champion if active is not None else UNCORRECTED
        if kept.number == row.champion:
            self._swap(row, kept)
            return
        try:
            self._swap(row, self._rehearsed(self._models[row.model], row.champion))
            return
        except (Unknown, ContractError, SessionError) as error:
            facts = {"model": row.model, "domain": row.name, "version": row.champion}
            logger.error("version cannot be served", **facts, reason=str(error))
        # Nobody foresaw it; the other domains have to be followed all the same.
        except Exception:
            logger.exception("version cannot be served", model=row.model, domain=row.name, version=row.champion)
        # What was served stays; the attempt is repeated when the domain changes again.
        self._swap(row, kept)

    def _rehearsed(self, model: ServedModel, number: int) -> Version:
        try:
            version = self.prepare(model, number)
        except (ContractError, SessionError):
            self._metrics.activations.labels(model.row.name, "refused").inc()
            raise
        return version

    def _swap(self, row: DomainRow, version: Version) -> None:
        key = row.model, row.name
        before = self._active.get(key)
        self._active = {**self._active, key: _Active(row, version)}
        if before is None or before.champion.number != version.number:
            self._metrics.activations.labels(row.model, "swapped").inc()
            logger.info("version active", model=row.model, domain=row.name, version=version.number)

    def _find_active(self, model: str, domain: str) -> _Active:
        active = self._active.get((model, domain))
        if active is None:
            raise Unknown(
                f"no domain '{_shown(domain)}' of model '{_shown(model)}'; its first batch or a PUT creates it"
            )
        return active

    @staticmethod
    def number(row: DomainRow, version: str) -> int:
        """What a number as text, or an alias within a domain, stands for.

        Raises:
            Unknown: neither, or the domain has no such alias.
        """
        if version.isascii() and version.isdigit() and len(version) < 10:
            return int(version)
        if version not in ALIASES:
            raise Unknown(f"no version '{_shown(version)}'; give a number or one of {', '.join(ALIASES)}")
        number: int | None = getattr(row, version)
        if number is None:
            raise Unknown(f"domain '{row.name}' has no {version}")
        return number


def _shown(name: str) -> str:
    """A client's word, fit to be repeated in an answer."""
    return "".join(letter for letter in name[:63] if letter.isprintable())
