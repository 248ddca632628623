"""What a route needs, in one immutable value: made by `app.create_app`, reached through `request.app.state`."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from service.auth import Keyring, Principal
from service.contract.manifest import IDENTITY
from service.contract.store import LocalStore
from service.database import versions
from service.database.engine import Database
from service.engine.provider import Provider
from service.errors import NotFound
from service.jobs.queue import JobQueue
from service.jobs.settlement import Settlement
from service.jobs.submission import Submission
from service.jobs.supervisor import Supervisor
from service.metrics import Metrics
from service.quota import Quotas
from service.registry import Handle, Registry, Unknown
from service.served import ServedModel
from service.serving import Serving
from service.settings import Settings


@dataclass(frozen=True)
class Context:
    """The parts of one running service."""

    settings: Settings
    metrics: Metrics
    database: Database
    store: LocalStore
    registry: Registry
    serving: Serving
    queue: JobQueue
    submission: Submission
    settlement: Settlement
    supervisor: Supervisor
    intake: asyncio.Semaphore
    streams: asyncio.Semaphore
    keyring: Keyring
    quotas: Quotas

    @property
    def is_ready(self) -> bool:
        """Whether predictions can be answered: a model is loaded, on what it has to be on."""
        return bool(self.registry.names()) and not self.lacks_gpu

    @property
    def lacks_gpu(self) -> bool:
        """Whether a model computes on the processor although it must not: onnxruntime falls back without a word."""
        models = map(self.registry.model, self.registry.names())
        return self.settings.require_gpu and any(model.device == Provider.CPU for model in models)

    def model(self, name: str) -> ServedModel:
        """A loaded model, or the problem that there is none."""
        try:
            return self.registry.model(name)
        except Unknown as error:
            raise NotFound(str(error)) from error

    def published(self, model: str, asking: Principal) -> list[int]:
        """Numbers of a model's published versions that someone may see, from the database; not for the event loop."""
        with self.database.read() as connection:
            rows = versions.of_model(connection, self.model(model).row.frozen_sha256)
        return [row.number for row in rows if asking.sees(row.domain)]

    def pinned(self, model: str, domain: str, version: str, asking: Principal) -> Handle:
        """What a number or an alias stands for in a domain; not for the event loop.

        Raises:
            Unknown: there is no such version that this one may see.
            ContractError, SessionError: it is there and cannot be served.
        """
        row = self.registry.domain(model, domain)
        number = self.registry.number(row, version)
        if number not in (IDENTITY, row.champion, row.shadow, row.previous):
            self.require_seen(model, number, asking)
        return self.registry.pinned(model, domain, version)

    def require_seen(self, model: str, number: int, asking: Principal) -> None:
        """Raises Unknown where a version was made for a domain that is none of a key's own."""
        if asking.domains is None:
            return
        with self.database.read() as connection:
            row = versions.find(connection, self.model(model).row.frozen_sha256, number)
        if row is None or not asking.sees(row.domain):
            raise Unknown(f"no version {number}; see /v1/models/{model}/versions")

    def champion(self, model: str, domain: str) -> Handle:
        """What serves a domain, or the problem that there is no such domain."""
        try:
            return self.registry.champion(model, domain)
        except Unknown as error:
            raise NotFound(str(error)) from error


def _of(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


Ctx = Annotated[Context, Depends(_of)]
