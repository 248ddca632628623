"""An open loop: requests leave at their time whether earlier ones are answered or not, as real clients' do.

A closed loop hides what a server does under load: while it is slow, nobody asks. Latency here counts from when a
request was due, so that a queue in the generator shows as well.
"""

import asyncio
import time
from collections import deque
from urllib.parse import urlsplit

import numpy as np

from benchmarks.serving.load import Load, Payload

CONNECTIONS = 64


class _Client(asyncio.Protocol):
    """One connection with one request at a time; answers have a content-length."""

    def __init__(self, free: "deque[_Client]") -> None:
        self._free = free
        self.buffer = b""
        self.due = 0.0
        self.latencies: list[float] = []
        self.failed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._free.append(self)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().split(b"content-length: ", 1)[1].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self.buffer = b""
        self.latencies.append(time.perf_counter() - self.due)
        self.failed += not head.startswith(b"HTTP/1.1 200")
        self._free.append(self)

    def ask(self, request: bytes, due: float) -> None:
        self.due = due
        self.transport.write(request)  # type: ignore[attr-defined]


async def _drive(url: str, payload: Payload, per_s: float, seconds: float) -> Load:
    place = urlsplit(url)
    lines = [f"POST {payload.path} HTTP/1.1", f"host: {place.netloc}", f"content-length: {len(payload.body)}"]
    lines += [f"{name}: {value}" for name, value in payload.headers.items()]
    request = "\r\n".join([*lines, "", ""]).encode() + payload.body
    loop, free = asyncio.get_running_loop(), deque[_Client]()
    made = [await loop.create_connection(lambda: _Client(free), place.hostname, place.port) for _ in range(CONNECTIONS)]
    gaps = np.random.default_rng(0).exponential(1 / per_s, int(per_s * seconds))
    started = time.perf_counter()
    waiting = deque(started + np.cumsum(gaps))
    count = len(waiting)
    while waiting or len(free) < CONNECTIONS:
        now = time.perf_counter()
        while waiting and free and waiting[0] <= now:
            free.popleft().ask(request, waiting.popleft())
        await asyncio.sleep(0.0005)
        if now > started + 2 * seconds + 10:
            raise TimeoutError("the server does not keep up with the open loop")
    took = time.perf_counter() - started
    latencies = 1000 * np.concatenate([client.latencies for _, client in made])
    for transport, _ in made:
        transport.close()
    p50, p99 = np.percentile(latencies, [50, 99])
    return Load(count / took, float(p50), float(p99), sum(client.failed for _, client in made))


def drive_open(url: str, payload: Payload, *, per_s: float, seconds: float) -> Load:
    """Send a payload at so many a second, at random moments (a Poisson process)."""
    return asyncio.run(_drive(url, payload, per_s, seconds))
