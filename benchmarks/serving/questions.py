"""What is asked in every round. A new question is one new entry."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.load import Load, Payload, drive
from benchmarks.serving.open_loop import drive_open
from benchmarks.serving.process import Server

CLIENTS = (1, 16, 64)
PAYLOADS = ("v2 binary", "v2 JSON", "PNG")
DOMAINS = 8
OF_CAPACITY = 0.7
CONSTANT = "constant answer"
WARMING_S = 1


@dataclass(frozen=True)
class Bench:
    """What a question may use.

    Attributes:
        servers: by name; `foreoptic` is the service.
        payloads: by name.
        seconds: how long one load lasts.
    """

    servers: Mapping[str, Server]
    payloads: Mapping[str, Payload]
    folder: Path
    seconds: int


@dataclass(frozen=True)
class Seen:
    """One answer: the load, and what the server used for it."""

    load: Load
    cpu_us: float
    memory_mib: float


@dataclass(frozen=True)
class Question:
    """One row of the table."""

    server: str
    payload: str
    clients: int
    what: str = "closed loop"
    domains: int = 0

    def ask(self, bench: Bench, known: Mapping["Question", Seen]) -> Seen:
        """Measure; `known` has what was asked before in this round."""
        server, payload = bench.servers[self.server], bench.payloads[self.payload]

        def run(seconds: int) -> Load:
            if self.what == "closed loop":
                return drive(
                    server.url, payload, bench.folder, clients=self.clients, seconds=seconds, domains=self.domains
                )
            per_s = OF_CAPACITY * known[CAPACITY].load.rate
            return drive_open(server.url, payload, per_s=per_s, seconds=seconds)

        run(WARMING_S)
        before = server.cpu_s()
        load = run(bench.seconds)
        used_s = server.cpu_s() - before
        return Seen(load, 1e6 * used_s / max(load.rate * bench.seconds, 1), server.memory_mib())


CAPACITY = Question("foreoptic", "v2 binary", 16)
QUESTIONS = (
    *(Question("foreoptic", payload, clients) for clients in CLIENTS for payload in PAYLOADS),
    Question("foreoptic", "v2 binary", 16, domains=DOMAINS),
    Question("foreoptic", "v2 binary", 64, what=f"open loop, {OF_CAPACITY:.0%} of 16"),
    Question("plain FastAPI", "v2 JSON", 16),
    Question(CONSTANT, "v2 binary", 16),
)
