"""What the two prediction protocols share: choosing the version, computing, and the headers of every answer."""

import asyncio
from functools import lru_cache
from typing import NamedTuple

from starlette.concurrency import run_in_threadpool

from service.auth import Principal, Scope
from service.context import Context
from service.contract.errors import ContractError
from service.contract.manifest import IDENTITY
from service.database.domains import DEFAULT
from service.engine.pipeline import Answer
from service.engine.session import Array, SessionError
from service.errors import Internal, Malformed, NotFound, TooManyRequests, Unavailable
from service.registry import Handle, Unknown
from service.serving import DEFAULT_PRIORITY, Closed, Overloaded
from service.wire import Call, RawHeaders

RETRY_AFTER_S = 1
PREDICTS = frozenset({Scope.PREDICT})
BURST_S = 2.0
"""So many seconds' worth of its quota may come at once."""


def domain_of(call: Call, named: str | None) -> str:
    """The domain that a request names in its body or query, else in its header, else `default`.

    Raises:
        Malformed: body and header name two different ones.
        Forbidden: the key is bound to others.
    """
    from_header = call.header(b"foreoptic-domain")
    if named is not None and from_header is not None and named != from_header:
        raise Malformed("the request names two domains, one in the Foreoptic-Domain header and one elsewhere; name one")
    domain = named if named is not None else from_header if from_header is not None else DEFAULT
    call.principal.require(PREDICTS, domain)
    return domain


def let_in(context: Context, call: Call, model: str) -> None:
    """What can be refused before anything is read.

    Raises:
        Forbidden: the key is not for predictions.
        NotFound: no such model.
        Unavailable: more images wait than may; what is read now would be refused later.
    """
    call.principal.require(PREDICTS)
    context.model(model)
    if context.serving.is_full(model):
        raise _overloaded()


def count_against_quota(context: Context, call: Call, images: int) -> None:
    """Count images against the key's quota.

    Raises:
        TooManyRequests: it is used up.
    """
    principal = call.principal
    if principal.predict_per_s is not None:
        burst = max(1.0, BURST_S * principal.predict_per_s)
        wait_s = context.quotas.take(f"predict {principal.id}", images, per_s=principal.predict_per_s, burst=burst)
        if wait_s:
            raise TooManyRequests("this key's quota of images is used up", retry_after_s=wait_s)


async def choose(context: Context, asking: Principal, model: str, domain: str, version: str | None) -> Handle:
    """The handle that answers a request.

    Raises:
        NotFound: no such model, domain or version.
        Unavailable: the version is published but cannot be served.
    """
    if version is None:
        return context.champion(model, domain)
    try:
        return await run_in_threadpool(context.pinned, model, domain, version, asking)
    except Unknown as error:
        raise NotFound(str(error)) from error
    except (ContractError, SessionError) as error:
        raise Unavailable("this version is published but cannot be served; name another one") from error


async def compute(
    context: Context, handle: Handle, rows: Array, *, priority: int = 0, timeout_s: float | None = None
) -> Answer:
    """The frozen model's outputs for rows.

    Args:
        priority: 1 goes first; 0 is DEFAULT_PRIORITY.
        timeout_s: how long the caller will wait; None for as long as it takes.

    Raises:
        Unavailable: overloaded, stopping, or not answered in that time.
        Internal: the frozen model itself fails.
    """
    answer = context.serving.answer(handle, rows, priority=priority or DEFAULT_PRIORITY)
    try:
        return await (answer if timeout_s is None else asyncio.wait_for(answer, timeout_s))
    except TimeoutError as error:
        raise Unavailable(f"not answered within {timeout_s} s, the request's own limit") from error
    except Overloaded as error:
        raise _overloaded() from error
    except Closed as error:
        raise Unavailable("the service is stopping; try again shortly", retry_after_s=RETRY_AFTER_S) from error
    except SessionError as error:
        raise Internal from error


def _overloaded() -> Unavailable:
    return Unavailable("more images wait than may; try again shortly", retry_after_s=RETRY_AFTER_S)


class Provenance(NamedTuple):
    """By what an answer was computed."""

    domain: str
    version: int
    corrected: bool
    frozen_sha256: str


def provenance(handle: Handle, answer: Answer) -> Provenance:
    """By what an answer was computed; what a corrector that failed had no part in is version 0."""
    version = handle.version.number if answer.corrected else IDENTITY
    return Provenance(handle.domain, version, answer.corrected, handle.model.row.frozen_sha256)


@lru_cache(maxsize=1024)
def provenance_headers(facts: Provenance) -> RawHeaders:
    """The headers that every prediction carries."""
    return (
        (b"foreoptic-domain", facts.domain.encode("latin-1")),
        (b"foreoptic-version", str(facts.version).encode()),
        (b"foreoptic-corrected", b"true" if facts.corrected else b"false"),
        (b"foreoptic-frozen-sha256", facts.frozen_sha256.encode()),
    )
