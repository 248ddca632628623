"""The outermost layer: request id, the hot path in front of the framework, problems, metrics, one log line a request.

Whatever happens inside, the client gets either an answer or a problem+json document.
"""

import os
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from service import log
from service.context import Context
from service.errors import Internal, MethodNotAllowed, Problem, TooLarge
from service.wire import Disconnected, Receive, Scope, Send, header, respond_problem

logger = log.get(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
OTHER = "other"
CLIENT_CLOSED = 499
SMALL_BODY_BYTES = 1 << 20

App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Handler(Protocol):
    """Answers one request of the hot path; `names` are the path's named parts."""

    async def __call__(
        self, context: Context, scope: Scope, receive: Receive, send: Send, names: Mapping[str, str]
    ) -> None:
        """Answer, or raise a Problem before anything was sent."""


@dataclass(frozen=True)
class HotRoute:
    """A path that is answered without the framework, POST only."""

    pattern: re.Pattern[str]
    template: str
    handler: Handler


class Edge:
    """ASGI application around the FastAPI application."""

    def __init__(self, app: App, hot: Sequence[HotRoute], context: Context) -> None:
        self._app = app
        self._hot = hot
        self.context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()
        outgoing = _Outgoing(send, request_id)
        template = OTHER
        try:
            template = await self._dispatch(scope, receive, outgoing)
        except Disconnected:
            outgoing.status = outgoing.status or CLIENT_CLOSED
        except Problem as problem:
            await respond_problem(outgoing, problem)
        # The last line of defence: the client gets a problem, the log gets the rest.
        except Exception:
            logger.exception("request failed", request_id=request_id)
            if outgoing.status == 0:
                await respond_problem(outgoing, Internal())
        finally:
            self._record(template, outgoing.status, time.perf_counter() - started, request_id)

    async def _dispatch(self, scope: Scope, receive: Receive, outgoing: "_Outgoing") -> str:
        for route in self._hot:
            match = route.pattern.fullmatch(scope["path"])
            if match:
                names = {name: value for name, value in match.groupdict().items() if value is not None}
                await self._answer_hot(route, names, scope, receive, outgoing)
                return route.template
        if not scope["path"].endswith("/adaptations"):
            receive = _capped(scope, receive)
        await self._app(scope, receive, outgoing)
        return str(getattr(scope.get("route"), "path", OTHER))

    async def _answer_hot(
        self, route: HotRoute, names: dict[str, str], scope: Scope, receive: Receive, outgoing: "_Outgoing"
    ) -> None:
        try:
            if scope["method"] != "POST":
                raise MethodNotAllowed("this path takes POST only")
            await route.handler(self.context, scope, receive, outgoing, names)
        except Problem as problem:
            await respond_problem(outgoing, problem)

    def _record(self, template: str, status: int, seconds: float, request_id: str) -> None:
        self.context.metrics.count_request(template, status, seconds)
        if template.endswith(QUIET):
            return
        logger.info(
            "request", route=template, status=status, milliseconds=round(1000 * seconds, 2), request_id=request_id
        )


def _capped(scope: Scope, receive: Receive) -> Receive:
    """`receive` for the framework's routes, whose bodies are small JSON documents and which know no cap themselves.

    Raises:
        TooLarge: the body is announced larger than it may be.
    """
    too_large = TooLarge(f"the body is larger than the {SMALL_BODY_BYTES} bytes accepted here")
    announced = header(scope, b"content-length")
    if announced is not None and announced.isdigit() and int(announced[:20]) > SMALL_BODY_BYTES:
        raise too_large
    size = 0

    async def count() -> MutableMapping[str, Any]:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > SMALL_BODY_BYTES:
            raise too_large
        return message

    return count


QUIET = ("/infer", "/predict", "/healthz", "/readyz", "/metrics", "/live", "/ready", "/adaptations/{job_id}")
"""Routes that are called too often for a line each; the metrics count them."""


class _Outgoing:
    """`send` with the request id added, remembering the status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._id = request_id.encode("ascii")
        self.status = 0

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self._id)]
        await self._send(message)


def _request_id(scope: Scope) -> str:
    given = header(scope, b"x-request-id")
    return given if given is not None and REQUEST_ID.fullmatch(given) else os.urandom(16).hex()
