"""The outermost layer: request id, the hot path in front of the framework, problems, metrics, one log line a request.

Whatever happens inside, the client gets either an answer or a problem+json document.
"""

import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from service import log
from service.admission import Admission
from service.context import Context
from service.errors import Internal, MethodNotAllowed, Problem
from service.wire import Call, Disconnected, Receive, Scope, Send, read_body

logger = log.get(__name__)

OTHER = "other"
CLIENT_CLOSED = 499
SMALL_BODY_BYTES = 1 << 20
BATCHES = re.compile(r"/v1/models/[^/]+/domains/[^/]+/adaptations")
"""This route reads its own body, up to a cap of its own."""
LONGEST_HOT_PATH = 256
"""Names are short; a longer path is on no hot route, and is not remembered."""

App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Handler(Protocol):
    """Answers one request of the hot path."""

    async def __call__(self, context: Context, call: Call) -> None:
        """Answer, or raise a Problem before anything was sent."""


@dataclass(frozen=True)
class HotRoute:
    """A path that is answered without the framework, POST only."""

    pattern: re.Pattern[str]
    template: str
    handler: Handler


class Edge:
    """ASGI application around the FastAPI application."""

    def __init__(self, app: App, hot: Sequence[HotRoute], context: Context, admission: Admission) -> None:
        self._app = app
        self._hot = hot
        self.context = context
        self._admission = admission
        # The same few paths come again and again.
        self._find = lru_cache(maxsize=1024)(self._match)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        call = Call(scope, receive, send)
        path = scope["path"]
        route, call.names = self._find(path) if len(path) <= LONGEST_HOT_PATH else NOT_HOT
        template = route.template if route is not None else OTHER
        try:
            call.principal = self._admission.admit(call)
            if route is None:
                template = await self._through_framework(call)
            elif scope["method"] != "POST":
                raise MethodNotAllowed("this path takes POST only")
            else:
                await route.handler(self.context, call)
        except Disconnected:
            call.status = call.status or CLIENT_CLOSED
        except Problem as problem:
            await call.respond_problem(problem)
        # The last line of defence: the client gets a problem, the log gets the rest.
        except Exception:
            logger.exception("request failed", request_id=call.request_id.decode())
            if call.status == 0:
                await call.respond_problem(Internal())
        finally:
            seconds = time.perf_counter() - started
            self.context.metrics.count_request(template, call.status, seconds)
            # Of what is asked thousands of times a second, the metrics tell.
            if route is None and not template.endswith(QUIET):
                _log(template, call, seconds)

    def _match(self, path: str) -> "_Found":
        for route in self._hot:
            match = route.pattern.fullmatch(path)
            if match:
                return route, {name: value for name, value in match.groupdict().items() if value is not None}
        return NOT_HOT

    async def _through_framework(self, call: Call) -> str:
        """Let the FastAPI application answer; returns the route's template."""
        scope, receive = call.scope, call.receive
        scope.setdefault("state", {})["principal"] = call.principal
        if not (scope["method"] == "POST" and BATCHES.fullmatch(scope["path"])) and _has_body(call):
            # Of the other routes every body is a small document, and the framework knows no cap itself.
            body = await read_body(call.headers, receive, limit_bytes=SMALL_BODY_BYTES)
            receive = _replayed(body, receive)
        await self._app(scope, receive, call.send)
        return str(getattr(scope.get("route"), "path", OTHER))


_Found = tuple[HotRoute | None, Mapping[str, str]]
NOT_HOT: _Found = (None, {})


def _has_body(call: Call) -> bool:
    return b"transfer-encoding" in call.headers or call.headers.get(b"content-length", b"0") != b"0"


def _replayed(body: bytes, receive: Receive) -> Receive:
    """`receive` for an application that has not read its body yet."""
    left = [body]

    async def replay() -> MutableMapping[str, Any]:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return replay


QUIET = ("/healthz", "/readyz", "/metrics", "/live", "/ready", "/adaptations/{job_id}")
"""Routes that are called too often for a line each; the metrics count them."""


def _log(template: str, call: Call, seconds: float) -> None:
    logger.info(
        "request",
        route=template,
        status=call.status,
        milliseconds=round(1000 * seconds, 2),
        request_id=call.request_id.decode(),
    )
