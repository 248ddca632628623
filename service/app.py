"""create_app(settings): wiring and lifespan only."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from service import __version__, catalog, log
from service.admission import Admission
from service.auth import Keyring
from service.context import Context
from service.contract.store import LocalStore
from service.database import keys
from service.database.engine import Database
from service.database.migrate import migrate
from service.edge import CLIENT_CLOSED, Edge, HotRoute
from service.engine.tried import TriedStore
from service.errors import Internal, Malformed, Problem, StoreFull, Unavailable, Unprocessable, of_status
from service.jobs import queue
from service.jobs.queue import JobQueue
from service.jobs.settlement import Settlement
from service.jobs.submission import Submission
from service.jobs.supervisor import Supervisor
from service.metrics import Metrics
from service.needs import refuse_undeclared
from service.quota import Quotas
from service.registry import Registry
from service.routes import adapt, domains, oip, ops, predict, repository, versions
from service.serving import Serving
from service.settings import Settings, shipped_models
from service.wire import Disconnected

logger = log.get(__name__)

HOT = (
    HotRoute(re.compile(r"/v1/models/(?P<model>[^/]+)/predict"), "/v1/models/{model}/predict", predict.predict),
    HotRoute(
        re.compile(r"/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?/infer"),
        "/v2/models/{model}/infer",
        oip.infer,
    ),
)


def create_app(settings: Settings) -> Edge:
    """The service as an ASGI application; what it needs on disk is prepared here, what it runs starts with it."""
    context = _build(settings)
    app = FastAPI(title="Foreoptic", version=__version__, lifespan=_lifespan, docs_url=None, redoc_url=None)
    app.state.context = context
    # `repository` before `oip`: of /v2/models/stats the other would take `stats` for a model's name.
    for module in (adapt, domains, repository, oip, ops, versions):
        # Before it is included: what an application shows of its routes afterwards is not the routes.
        refuse_undeclared(module.router.routes)
        app.include_router(module.router)
    _document_hot_path(app)
    app.add_exception_handler(Problem, _render_problem)
    app.add_exception_handler(RequestValidationError, _render_invalid)
    app.add_exception_handler(HTTPException, _render_status)
    app.add_exception_handler(Exception, _render_defect)
    app.add_exception_handler(Disconnected, _render_nothing)
    app.add_exception_handler(OperationalError, _render_database)
    app.add_exception_handler(PoolTimeout, _render_database)
    return Edge(app, HOT, context, Admission(context.keyring, settings.known_hosts))


def _build(settings: Settings) -> Context:
    # The home holds clients' images while a job runs: its owner's eyes only.
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    metrics = Metrics()
    database = Database(settings.url)
    migrate(database)
    queue.prepare(database)
    store = LocalStore(settings.store_dir)
    settings.jobs_dir.mkdir(parents=True, exist_ok=True)
    catalog.install_shipped(shipped_models(), settings.shipped, database, store)
    registry = Registry(
        database,
        TriedStore(settings.store_dir, settings.tried_dir),
        metrics,
        threads=settings.threads,
        micro_batch=settings.micro_batch_images,
        pinned=settings.pinned_versions,
        provider=settings.provider,
    )
    serving = Serving(
        registry, metrics, batch_images=settings.micro_batch_images, queue_images=settings.queue_limit_images
    )
    job_queue = JobQueue(database)
    keyring = Keyring(open_without_keys=settings.is_local or settings.insecure_bind)
    _read_keys(database, keyring)
    submission = Submission(
        database,
        job_queue,
        settings.jobs_dir,
        limit=settings.queue_limit_jobs,
        domain_limit=settings.domain_limit,
        seed=settings.adaptation_seed,
    )
    return Context(
        settings=settings,
        metrics=metrics,
        database=database,
        store=store,
        registry=registry,
        serving=serving,
        queue=job_queue,
        submission=submission,
        settlement=Settlement(database, registry),
        supervisor=Supervisor(settings, metrics),
        intake=asyncio.Semaphore(1),
        streams=asyncio.Semaphore(settings.event_streams),
        keyring=keyring,
        quotas=Quotas(),
    )


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    context: Context = app.state.context
    await run_in_threadpool(context.registry.refresh)
    tasks = [
        asyncio.create_task(_again_and_again(context, _follow_keys), name="follow-keys"),
        asyncio.create_task(_again_and_again(context, _follow_versions), name="follow-versions"),
    ]
    if context.settings.worker:
        tasks.append(asyncio.create_task(context.supervisor.supervise(), name="worker"))
    logger.info("service ready", models=context.registry.names())
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await context.serving.close()
        context.queue.close()
        context.database.close()


async def _again_and_again(context: Context, follow: Callable[[Context], None]) -> None:
    while True:
        await asyncio.sleep(context.settings.refresh_interval_s)
        try:
            await run_in_threadpool(follow, context)
        # A locked or absent database must not end the loop; predictions go on with what is loaded.
        except Exception:
            logger.exception("the database could not be followed")


def _follow_keys(context: Context) -> None:
    """Apart from the versions: a key must not be good for as long as a model takes to load."""
    _read_keys(context.database, context.keyring)


def _follow_versions(context: Context) -> None:
    """Keep the registry and the judged jobs in step with the database."""
    context.registry.refresh()
    context.settlement.settle_all()


def _read_keys(database: Database, keyring: Keyring) -> None:
    with database.read() as connection:
        keyring.replace(keys.every(connection))


def _document_hot_path(app: FastAPI) -> None:
    framework = app.openapi

    def openapi() -> dict[str, Any]:
        document = framework()
        document["paths"] = {**document["paths"], **predict.OPENAPI, **oip.OPENAPI}
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend its document


def _problem(problem: Problem) -> Response:
    return Response(problem.body(), problem.status, problem.headers())


async def _render_problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _problem(error)


async def _render_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if any(item["type"] == "json_invalid" for item in error.errors()):
        return _problem(Malformed("the body is not JSON"))
    places = sorted({".".join(str(part) for part in item["loc"]) for item in error.errors()})
    return _problem(Unprocessable(f"the request does not fit: see {', '.join(places)} in /openapi.json"))


async def _render_status(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    response = _problem(of_status(error.status_code))
    response.headers.update(error.headers or {})
    return response


async def _render_defect(_request: Request, _error: Exception) -> Response:
    # The framework raises the error again behind this answer; the edge logs it, with the request id.
    return _problem(Internal())


async def _render_nothing(_request: Request, _error: Exception) -> Response:
    # Nobody reads it: the client went away while it was sending.
    return Response(status_code=CLIENT_CLOSED)


async def _render_database(_request: Request, error: Exception) -> Response:
    if "disk is full" in str(error):
        return _problem(StoreFull("the disk is full; nothing was changed"))
    logger.error("database not available", reason=type(error).__name__)
    return _problem(Unavailable("the database is busy; try again shortly", retry_after_s=1))
