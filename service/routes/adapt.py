"""Adaptations: post a batch, follow the job, cancel or approve it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Header, Query, Request, Response
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from service.auth import Principal, Scope
from service.batch_document import POSTED_BATCH
from service.batches import Caps, read_batch
from service.context import Context, Ctx
from service.contract.digest import sha256_hex
from service.contract.errors import InputError
from service.contract.kept_source import SOURCE_FILE
from service.contract.manifest import NAME, NAME_RULE
from service.database import jobs
from service.database.jobs import FINISHED, JobRow, State
from service.errors import Conflict, Malformed, NotFound, StoreFull, TooManyRequests, Unprocessable, of_input
from service.jobs.methods import known_methods, needs_source
from service.jobs.settlement import Overtaken
from service.jobs.submission import AdaptationOff, KeyReused, NoSpace, PostedBatch, QueueFull, TooManyDomains
from service.needs import Asking, needs
from service.resources import Adaptation
from service.settings import Settings
from service.wire import read_body

T = TypeVar("T")

DEFAULT_METHOD = "homogenizer"
RETRY_AFTER_S = 10

READS = needs(Scope.ADAPT, Scope.OBSERVE, Scope.ADMIN)

router = APIRouter(prefix="/v1", tags=["adaptations"])


@router.post(
    "/models/{model}/domains/{domain}/adaptations",
    status_code=202,
    response_model=Adaptation,
    openapi_extra=POSTED_BATCH,
    dependencies=needs(Scope.ADAPT),
)
async def post_batch(
    context: Ctx,
    request: Request,
    asking: Asking,
    response: Response,
    model: str,
    domain: str,
    method: Annotated[str, Query()] = DEFAULT_METHOD,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Adaptation:
    """Take a batch of target images to adapt to, without labels or with some; the domain is created if it is new."""
    served = context.model(model)
    if not NAME.fullmatch(domain):
        raise Malformed(f"a domain's name is {NAME_RULE}")
    # Where the worker runs elsewhere no method is known here; the worker then refuses the job.
    if not NAME.fullmatch(method) or (known_methods() and method not in known_methods()):
        raise Unprocessable(f"there is no such method; known: {', '.join(known_methods())}")
    if needs_source(method) and SOURCE_FILE not in served.manifest.files:
        raise Conflict(
            f"the method {method} needs source images, and none are kept beside this model; register it again with "
            "--source and --keep-source"
        )
    key = _key(idempotency_key)
    _count_against_quota(context, asking)
    await _translated(context.submission.check_room)
    headers, limit = dict(request.headers.raw), context.settings.batch_body_bytes
    body = await read_body(headers, request.receive, limit_bytes=limit)
    kind = request.headers.get("content-type")
    spec, labels, caps = served.manifest.input, served.manifest.labels, _caps(context.settings)

    def accept() -> JobRow:
        batch = read_batch(kind, body, spec, labels, caps)
        sha256 = sha256_hex(body)
        posted = PostedBatch(
            model, domain, method, served.row.frozen_sha256, batch.images, batch.labels, body_sha256=sha256, key=key
        )
        return context.submission.accept(posted)

    # One at a time: a batch takes a multiple of its size while it is read.
    async with context.intake:
        row = await _translated(accept)
    await run_in_threadpool(context.registry.refresh)
    response.headers["location"] = f"/v1/adaptations/{row.id}"
    response.headers["retry-after"] = "1"
    return Adaptation.of(row)


@router.get("/adaptations/{job_id}", response_model=Adaptation, dependencies=READS)
def get_adaptation(context: Ctx, asking: Asking, job_id: str) -> Adaptation:
    """Where a job stands."""
    return Adaptation.of(_find(context, asking, job_id))


@router.get("/adaptations/{job_id}/events", response_class=EventSourceResponse, dependencies=READS)
def follow(
    context: Ctx, asking: Asking, job_id: str, last_event_id: Annotated[str | None, Header()] = None
) -> EventSourceResponse:
    """Server-sent events `state` and `progress` from the beginning, or from after Last-Event-ID, until the job ends."""
    _find(context, asking, job_id)
    if last_event_id is not None and not (
        last_event_id.isascii() and last_event_id.isdigit() and len(last_event_id) < 10
    ):
        raise Malformed("Last-Event-ID must be a number that this stream gave out")
    if context.streams.locked():
        raise TooManyRequests(
            "too many clients follow jobs; look at the job itself instead", retry_after_s=RETRY_AFTER_S
        )
    return EventSourceResponse(_events(context, job_id, int(last_event_id or 0)))


@router.post("/adaptations/{job_id}/cancel", response_model=Adaptation, dependencies=needs(Scope.ADAPT, Scope.ADMIN))
def cancel(context: Ctx, asking: Asking, job_id: str) -> Adaptation:
    """Stop a job that has not ended; what it has fitted so far is dropped."""
    row = _find(context, asking, job_id)
    stoppable = (State.QUEUED, State.RUNNING, State.AWAITING_APPROVAL)
    if row.state not in stoppable:
        raise Conflict(f"the job is {row.state}; only a job that is {', '.join(stoppable)} can be cancelled")
    with context.database.write() as connection:
        moved = jobs.move(connection, row, State.CANCELLED, step="cancelled", finished_at=time.time())
    if not moved:
        raise Conflict("the job moved on meanwhile; look again")
    if row.state == State.QUEUED:
        context.submission.discard(row)
    return Adaptation.of(_find(context, asking, job_id))


@router.post("/adaptations/{job_id}/approve", response_model=Adaptation, dependencies=needs(Scope.ADMIN))
def approve(context: Ctx, asking: Asking, job_id: str) -> Adaptation:
    """Activate the version of a job that awaits approval."""
    row = _find(context, asking, job_id)
    if row.state != State.AWAITING_APPROVAL:
        raise Conflict(f"the job is {row.state}; only a job that is {State.AWAITING_APPROVAL} can be approved")
    try:
        context.settlement.approve(row)
    except Overtaken as error:
        raise Conflict("the job moved on meanwhile; look again") from error
    return Adaptation.of(_find(context, asking, job_id))


def _caps(settings: Settings) -> Caps:
    return Caps(
        images=(settings.adapt_min_images, settings.adapt_max_images),
        bytes=4 * settings.batch_body_bytes,
        tensor_bytes=settings.batch_tensor_bytes,
        json_bytes=settings.predict_body_bytes,
        pixels=settings.max_pixels,
    )


async def _translated(call: Callable[[], T]) -> T:
    """Run `call` in a thread; what it raises becomes the problem that a client is told."""
    try:
        return await run_in_threadpool(call)
    except InputError as error:
        raise of_input(error) from error
    except QueueFull as error:
        raise TooManyRequests(str(error), retry_after_s=RETRY_AFTER_S) from error
    except KeyReused as error:
        raise Unprocessable(str(error)) from error
    except (AdaptationOff, TooManyDomains) as error:
        raise Conflict(str(error)) from error
    except NoSpace as error:
        raise StoreFull("the batch cannot be stored: the disk is full; nothing was accepted") from error


def _count_against_quota(context: Context, asking: Principal) -> None:
    if asking.adapt_per_h is None:
        return
    burst = max(1.0, asking.adapt_per_h)
    wait_s = context.quotas.take(f"adapt {asking.id}", 1, per_s=asking.adapt_per_h / 3600, burst=burst)
    if wait_s:
        raise TooManyRequests("this key's quota of batches is used up", retry_after_s=wait_s)


def _find(context: Context, asking: Principal, job_id: str) -> JobRow:
    with context.database.read() as connection:
        row = jobs.find(connection, job_id) if len(job_id) == 32 else None
    # Of what is none of a key's business it does not even learn that it is there.
    if row is None or not asking.sees(row.domain):
        raise NotFound("no such adaptation")
    return row


def _key(header: str | None) -> str | None:
    """The Idempotency-Key, with or without the quotes that its draft standard asks for."""
    if header is None:
        return None
    key = header.strip().strip('"')
    if not 0 < len(key) <= 255:
        raise Malformed("an Idempotency-Key has 1 to 255 characters")
    return key


async def _events(context: Context, job_id: str, seen: int) -> AsyncIterator[ServerSentEvent]:
    async with context.streams:
        while True:
            rows, state = await run_in_threadpool(_news, context, job_id, seen)
            for row in rows:
                seen = row.number
                yield ServerSentEvent(row.data, event=row.kind, id=str(row.number))
            if not rows and state in FINISHED:
                return
            await asyncio.sleep(context.settings.refresh_interval_s)


def _news(context: Context, job_id: str, seen: int) -> tuple[list[jobs.EventRow], str]:
    with context.database.read() as connection:
        row = jobs.find(connection, job_id)
        return jobs.events_after(connection, job_id, seen), row.state if row else State.CANCELLED
