"""Does the service's memory stay what it is? Requests of every payload in turn, and what it holds after each part."""

from rich.console import Console
from rich.table import Table

from benchmarks.serving.load import drive
from benchmarks.serving.questions import Bench

PART_S = 10
CLIENTS = 16
MOST_MIB = 190
MOST_GROWTH_MIB = 4
"""Between a fifth of the way and the end; before, allocators and caches fill."""


def soak(bench: Bench, requests: int) -> int:
    """Ask, and print; 1 where memory grows, is more than MOST_MIB, or a request failed."""
    server, table = bench.servers["foreoptic"], Table("requests", "MiB", "failed")
    done, failed, held = 0, 0, [(0, server.memory_mib())]
    while done < requests:
        for payload in bench.payloads.values():
            load = drive(server.url, payload, bench.folder, clients=CLIENTS, seconds=PART_S)
            done, failed = done + round(load.rate * PART_S), failed + load.failed
        held.append((done, server.memory_mib()))
        table.add_row(f"{done:,}", f"{held[-1][1]:.1f}", str(failed))
    Console().print(table)
    early = next(mib for count, mib in held if count >= requests / 5)
    return int(failed > 0 or held[-1][1] > MOST_MIB or held[-1][1] - early > MOST_GROWTH_MIB)
