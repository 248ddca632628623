"""What a route needs, in one immutable value: made by `app.create_app`, reached through `request.app.state`."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from service.auth import Keyring
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
        """Whether predictions can be answered: a model is loaded and every batcher serves."""
        return bool(self.registry.names()) and self.serving.is_alive and not self.lacks_gpu

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

    def published(self, model: str) -> list[int]:
        """Numbers of a model's published versions, as the database has them; not for the event loop."""
        with self.database.read() as connection:
            return [row.number for row in versions.of_model(connection, self.model(model).row.frozen_sha256)]

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
