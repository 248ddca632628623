"""Bare ASGI: one request, its capped body, and its answer. What the hot path uses instead of a framework."""

import random
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from service.auth import NOBODY
from service.errors import Malformed, Problem, TooLarge, UnsupportedType

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Headers = Mapping[bytes, bytes]
RawHeaders = tuple[tuple[bytes, bytes], ...]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
MAX_CHUNKS = 65_536
"""A body of a million one-byte chunks costs more than its size; nobody honest sends that."""


class Disconnected(Exception):
    """The client went away before its request was complete."""


class Call:
    """One request, and the way back.

    Attributes:
        headers: by lower-case name; of one that repeats, the last.
        names: the named parts of its path.
        principal: who asks; nobody until the door has let it in.
        request_id: the client's own where that may be repeated to it, else a new one.
        status: of the answer; 0 while there is none.
    """

    __slots__ = ("_send", "headers", "names", "principal", "receive", "request_id", "scope", "status")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self._send = send
        self.headers: Headers = dict(scope["headers"])
        given = self.headers.get(b"x-request-id")
        self.request_id = given if given and REQUEST_ID.fullmatch(given) else _new_id()
        self.names: Mapping[str, str] = {}
        self.principal = NOBODY
        self.status = 0

    def header(self, name: bytes) -> str | None:
        """A header as text, or None."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """ASGI's `send`, with the request's id on the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self.request_id)]
        await self._send(message)

    async def respond(self, status: int, headers: RawHeaders, body: bytes) -> None:
        """One complete answer."""
        self.status = status
        raw = [*headers, (b"content-length", b"%d" % len(body)), (b"x-request-id", self.request_id)]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})
        await self._send({"type": "http.response.body", "body": body})

    async def respond_problem(self, problem: Problem) -> None:
        """A problem+json answer."""
        headers = tuple((name.encode(), value.encode("latin-1")) for name, value in problem.headers().items())
        await self.respond(problem.status, headers, problem.body())


def _new_id() -> bytes:
    # To find a line in a log by; nothing rests on nobody's guessing it.
    return b"%032x" % random.getrandbits(128)


async def read_body(headers: Headers, receive: Receive, *, limit_bytes: int, coded: bool = False) -> bytes:
    """The whole body.

    Args:
        coded: whether it may have a Content-Encoding, which the caller undoes.

    Raises:
        TooLarge: more than `limit_bytes`, announced or sent.
        UnsupportedType: the body is compressed.
        Disconnected: the client went away.
    """
    if not coded and headers.get(b"content-encoding", b"identity") != b"identity":
        raise UnsupportedType("a compressed body is not accepted here; send it without Content-Encoding")
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and int(announced[:20]) > limit_bytes:
        raise _too_large(limit_bytes)
    chunks: list[bytes] = []
    size = 0
    for _ in range(MAX_CHUNKS):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        if not message.get("more_body", False):
            return b"".join([*chunks, chunk]) if chunks else chunk
        chunks.append(chunk)
    raise Malformed(f"the body comes in more than {MAX_CHUNKS} chunks; send larger ones")


def _too_large(limit_bytes: int) -> TooLarge:
    return TooLarge(f"the body is larger than the {limit_bytes} bytes accepted")
