"""One client's connection: uvicorn's own, with what it lacks against clients that are slow or talk too much.

uvicorn waits for ever for a request that has begun, and takes headers of any size. Here a head has to be complete
after HEAD_S and has a size; a body has to keep a pace; an answer has to be taken. Nothing is measured by timers of its
own, of which every request would need some: each connection notes when its present wait began, and `sweep` looks at all
of them now and then. And an answer leaves in one system call instead of two, which wakes the client once.
"""

import asyncio
from collections.abc import Iterable
from enum import Enum
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.errors import HeadTooLarge, Malformed, Problem, TooSlow

FIRST_BYTE_S = 5.0
HEAD_S = 10.0
BODY_S = 30.0
BODY_BYTES_PER_S = 16 * 1024
"""Beyond BODY_S a body may take as long as it would at this pace: a batch may be large and its link thin."""
ANSWER_S = 30.0
SWEEP_S = 0.5

MOST_HEAD_BYTES = 16 * 1024
MOST_HEADERS = 100


class Wait(Enum):
    """What a connection waits for that is the client's to do; NOTHING while the service has the word."""

    NOTHING = "nothing"
    FIRST_BYTE = "the first byte"
    HEAD = "the headers"
    BODY = "the body"
    TAKING = "the answer to be taken"


class Connection(HttpToolsProtocol):
    """One connection. For uvicorn's `http` setting."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # uvicorn's own, whatever they are
        super().__init__(*args, **kwargs)
        self._wait = Wait.NOTHING
        self._since = 0.0
        self._head_bytes = 0
        self._body_bytes = 0
        self._refused: Problem | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A client is there."""
        super().connection_made(OneWrite(transport, self.loop))  # type: ignore[arg-type]
        self._begin(Wait.FIRST_BYTE)

    def data_received(self, data: bytes) -> None:
        """Part of a request, or several."""
        super().data_received(data)
        # The parser keeps a header that has not ended yet to itself, however long it grows.
        if self._wait is Wait.HEAD:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self._refuse(HeadTooLarge())

    def pause_writing(self) -> None:
        """More of an answer waits than the client takes."""
        super().pause_writing()
        self._begin(Wait.TAKING)

    def resume_writing(self) -> None:
        """It goes on."""
        super().resume_writing()
        self._wait = Wait.NOTHING

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._head_bytes = self._body_bytes = 0
        self._begin(Wait.HEAD)

    def on_headers_complete(self) -> None:
        """Its head is there.

        Raises:
            HeadTooLarge: and too large; the parser passes it on as an error of its own.
        """
        sizes = [len(name) + len(value) for name, value in self.headers]
        if len(sizes) > MOST_HEADERS or sum(sizes) + len(self.url) > MOST_HEAD_BYTES:
            self._refused = HeadTooLarge()
            raise self._refused
        super().on_headers_complete()
        self._begin(Wait.BODY)

    def on_body(self, body: bytes) -> None:
        """Part of its body is there."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of it is there."""
        self._wait = Wait.NOTHING
        super().on_message_complete()

    # What is ours.

    def is_overdue(self, now_s: float) -> bool:
        """Whether the client has kept the service waiting for too long."""
        waited_s = now_s - self._since
        if self._wait is Wait.BODY:
            # What is not read because others come first is not the client's fault.
            return not self.flow.read_paused and waited_s > BODY_S + self._body_bytes / BODY_BYTES_PER_S
        return waited_s > _PATIENCE_S.get(self._wait, waited_s)

    def end(self) -> None:
        """End the connection; a client that has begun a request is told why, if no answer is on its way."""
        is_asking = self._wait in (Wait.HEAD, Wait.BODY)
        is_unanswered = self.cycle is None or self.cycle.response_complete or not self.cycle.response_started
        if is_asking and is_unanswered:
            self._refuse(TooSlow())
        elif self._wait is Wait.TAKING:
            self.transport.abort()
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's signature
        """What uvicorn answers where the parser gives up."""
        self._refuse(self._refused or Malformed("this is not an HTTP request"))

    def _refuse(self, problem: Problem) -> None:
        if self.transport.is_closing():
            return
        body = problem.body()
        lines = [
            f"HTTP/1.1 {problem.status} {problem.title}",
            *(f"{name}: {value}" for name, value in problem.headers().items()),
            f"content-length: {len(body)}",
            "connection: close",
        ]
        self.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        self.transport.close()
        self._wait = Wait.NOTHING

    def _begin(self, wait: Wait) -> None:
        self._wait = wait
        self._since = self.loop.time()


_PATIENCE_S = {Wait.FIRST_BYTE: FIRST_BYTE_S, Wait.HEAD: HEAD_S, Wait.TAKING: ANSWER_S}


class OneWrite:
    """A transport that lets an answer's head wait for what follows it within the same turn of the loop.

    uvicorn writes head and body apart, and the loop sends either at once.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:  # whatever a transport has
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send, or keep for a moment."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        elif data.startswith(b"HTTP/1.1 "):
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def close(self) -> None:
        """Close once everything was sent."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)


async def sweep(connections: Iterable[Any]) -> None:
    """For ever: end those that keep the service waiting."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(SWEEP_S)
        now_s = loop.time()
        for connection in list(connections):
            if isinstance(connection, Connection) and connection.is_overdue(now_s):
                connection.end()
