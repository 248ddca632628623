"""Bare ASGI: reading a capped body and sending an answer. What the hot path uses instead of a framework."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from service.errors import Malformed, Problem, TooLarge, UnsupportedType

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
RawHeaders = tuple[tuple[bytes, bytes], ...]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_CHUNKS = 65_536
"""A body of a million one-byte chunks costs more than its size; nobody honest sends that."""


class Disconnected(Exception):
    """The client went away before its request was complete."""


def header(scope: Scope, name: bytes) -> str | None:
    """A request header by its lower-case name, or None."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return None


async def read_body(scope: Scope, receive: Receive, *, limit_bytes: int, coded: bool = False) -> bytes:
    """The whole body.

    Args:
        coded: whether it may have a Content-Encoding, which the caller undoes.

    Raises:
        TooLarge: more than `limit_bytes`, announced or sent.
        UnsupportedType: the body is compressed.
        Disconnected: the client went away.
    """
    encoding = header(scope, b"content-encoding")
    if not coded and encoding not in (None, "identity"):
        raise UnsupportedType("a compressed body is not accepted here; send it without Content-Encoding")
    too_large = TooLarge(f"the body is larger than the {limit_bytes} bytes accepted")
    announced = header(scope, b"content-length")
    if announced is not None and announced.isdigit() and int(announced) > limit_bytes:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    for _ in range(MAX_CHUNKS):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit_bytes:
            raise too_large
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
    raise Malformed(f"the body comes in more than {MAX_CHUNKS} chunks; send larger ones")


async def respond(
    send: Send, status: int, headers: Mapping[str, str], body: bytes, *, encoded: RawHeaders = ()
) -> None:
    """Send one complete answer; `encoded` are further headers."""
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    raw += [*encoded, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


async def respond_problem(send: Send, problem: Problem) -> None:
    """Send a problem+json answer."""
    await respond(send, problem.status, problem.headers(), problem.body())
