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
"""Of the first request, and of the next one on a connection that is kept."""
HEAD_S = 10.0
BODY_S = 30.0
BODY_BYTES_PER_S = 16 * 1024
"""Beyond BODY_S a body may take as long as it would at this pace: a batch may be large and its link thin."""
ANSWER_S = 30.0
SWEEP_S = 0.5

MOST_HEAD_BYTES = 16 * 1024
MOST_HEADERS = 100
MOST_UNREAD_BYTES = 64 << 20
"""Of a body that was answered without being read, before the connection is closed on it."""


class Wait(Enum):
    """What a connection waits for that is the client's to send; NOTHING while the service has the word."""

    NOTHING = "nothing"
    REQUEST = "the first byte of a request"
    HEAD = "the headers"
    BODY = "the body"


class Connection(HttpToolsProtocol):
    """One connection. For uvicorn's `http` setting."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # uvicorn's own, whatever they are
        super().__init__(*args, **kwargs)
        # Sending and taking are waited for apart: a client may owe both.
        self._wait = Wait.NOTHING
        self._since = 0.0
        self._not_taken_since: float | None = None
        self._closing_since: float | None = None
        self._messages = 0
        self._is_head_done = False
        self._head_bytes = 0
        self._body_bytes = 0
        self._refused: Problem | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A client is there."""
        super().connection_made(OneWrite(transport, self.loop))  # type: ignore[arg-type]
        self._begin(Wait.REQUEST)

    def data_received(self, data: bytes) -> None:
        """Part of a request, or several."""
        if self._refused is not None:
            return
        # Behind the end of another request a head is counted from the next data on.
        counted = self._messages + (self._wait is Wait.REQUEST)
        super().data_received(data)
        # The parser keeps a header that has not ended yet to itself, however long it grows.
        if self._wait is Wait.HEAD and self._messages <= counted:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self._refuse(HeadTooLarge())

    def pause_writing(self) -> None:
        """More of an answer waits than the client takes."""
        super().pause_writing()
        self._not_taken_since = self.loop.time()

    def resume_writing(self) -> None:
        """It goes on."""
        super().resume_writing()
        self._not_taken_since = None

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._messages += 1
        self._is_head_done = False
        self._head_bytes = self._body_bytes = 0
        self._begin(Wait.HEAD)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header.

        Raises:
            Malformed: it comes behind the body, where it could take the place of one that a proxy has looked at.
        """
        if self._is_head_done:
            self._refused = Malformed("headers behind the body are not taken")
            raise self._refused
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there.

        Raises:
            HeadTooLarge: and too large; the parser passes it on as an error of its own.
        """
        sizes = [len(name) + len(value) for name, value in self.headers]
        if len(sizes) > MOST_HEADERS or sum(sizes) + len(self.url) > MOST_HEAD_BYTES:
            self._refused = HeadTooLarge()
            raise self._refused
        self._is_head_done = True
        super().on_headers_complete()
        self._begin(Wait.BODY)

    def on_body(self, body: bytes) -> None:
        """Part of the body is there."""
        self._body_bytes += len(body)
        super().on_body(body)
        if self.cycle.response_complete and self._body_bytes > MOST_UNREAD_BYTES:
            # It was answered without being read, and goes on and on.
            self.transport.close()

    def on_message_complete(self) -> None:
        """All of it is there."""
        super().on_message_complete()
        self._begin(Wait.REQUEST if self.cycle.response_complete else Wait.NOTHING)

    def on_response_complete(self) -> None:
        """It was answered, perhaps before all of it was there."""
        super().on_response_complete()
        if self._wait is Wait.NOTHING and not self.pipeline:
            self._begin(Wait.REQUEST)

    # What is ours.

    def is_overdue(self, now_s: float) -> bool:
        """Whether the client has kept the service waiting for too long."""
        if self.transport.is_closing() and self._closing_since is None:
            self._closing_since = now_s
        for since in (self._closing_since, self._not_taken_since):
            if since is not None and now_s - since > ANSWER_S:
                return True
        waited_s = now_s - self._since
        if self._wait is Wait.BODY:
            # What is not read because others come first is not the client's fault.
            return not self.flow.read_paused and waited_s > BODY_S + self._body_bytes / BODY_BYTES_PER_S
        return waited_s > _PATIENCE_S.get(self._wait, waited_s)

    def end(self) -> None:
        """End the connection; a client that has begun a request is told why, if it has no answer yet."""
        if self.transport.is_closing() or self._not_taken_since is not None:
            # Whoever does not take an answer does not take another one.
            self.transport.abort()
        elif self._wait is Wait.REQUEST:
            self.transport.close()
        else:
            self._refuse(TooSlow())

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's signature
        """What uvicorn answers where the parser gives up."""
        self._refuse(self._refused or Malformed("this is not an HTTP request"))

    def _refuse(self, problem: Problem) -> None:
        """Read nothing more; answer the request that is being received, after those before it."""
        self._refused = problem
        if self.transport.is_closing():
            return
        cycle, is_receiving_body = self.cycle, self._wait is Wait.BODY
        self._wait = Wait.NOTHING
        is_answering = cycle is not None and not cycle.response_complete
        if is_answering and not is_receiving_body:
            # An earlier request has the word; with its answer the connection ends.
            cycle.keep_alive = False
            return
        if is_receiving_body and (cycle.response_started or self.pipeline):
            # It has an answer already, or is behind others: no second one, none out of turn.
            self.transport.close()
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

    def _begin(self, wait: Wait) -> None:
        self._wait = wait
        self._since = self.loop.time()


_PATIENCE_S = {Wait.REQUEST: FIRST_BYTE_S, Wait.HEAD: HEAD_S}


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
