"""The outermost layer: request id, the hot path in front of the framework, problems, metrics, one log line a request.

Whatever happens inside, the client gets either an answer or a problem+json document.
"""

import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from service import log
from service.context import Context
from service.errors import INTERNAL, MethodNotAllowed, Problem
from service.wire import Disconnected, Receive, Scope, Send, header, respond_problem

logger = log.get(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
OTHER = "other"
CLIENT_CLOSED = 499

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
        try:
            template = await self._dispatch(scope, receive, outgoing)
        except Disconnected:
            template, outgoing.status = OTHER, outgoing.status or CLIENT_CLOSED
        self._record(template, outgoing.status, time.perf_counter() - started, request_id)

    async def _dispatch(self, scope: Scope, receive: Receive, outgoing: "_Outgoing") -> str:
        for route in self._hot:
            match = route.pattern.fullmatch(scope["path"])
            if match:
                names = {name: value for name, value in match.groupdict().items() if value is not None}
                await self._answer_hot(route, names, scope, receive, outgoing)
                return route.template
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
        except Disconnected:
            raise
        # The last line of defence: the client gets a problem, the log gets the rest.
        except Exception:
            logger.exception("request failed", request_id=scope["state"]["request_id"])
            if outgoing.status == 0:
                await respond_problem(outgoing, INTERNAL)

    def _record(self, template: str, status: int, seconds: float, request_id: str) -> None:
        metrics = self.context.metrics
        metrics.requests.labels(template, str(status)).inc()
        metrics.request_seconds.labels(template).observe(seconds)
        if template.endswith(QUIET):
            return
        logger.info(
            "request", route=template, status=status, milliseconds=round(1000 * seconds, 2), request_id=request_id
        )


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
    return given if given is not None and REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
