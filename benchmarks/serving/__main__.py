"""Rounds of: the raw limit, then the service under each load; medians of ratios within a round.

    python -m benchmarks.serving --rounds 3 --seconds 5

Needs wrk. Exit status 1: a request failed.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.serving.limit import merged, p50_ms, rate
from benchmarks.serving.load import drive, payloads
from benchmarks.serving.pair import give_key, home_settings, install_pair, make_pair

CLIENTS = (1, 16, 64)
RAW_SECONDS = 2.0


@contextmanager
def served(home: Path) -> Iterator[str]:
    """The service in a process of its own; yields its URL."""
    environment = {**os.environ, "FOREOPTIC_HOME": str(home), "FOREOPTIC_PORT": "0", "FOREOPTIC_WORKER": "false"}
    environment["FOREOPTIC_SHIPPED"] = ""
    command = [sys.executable, "-m", "service"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as run:
        assert run.stdout is not None
        try:
            yield run.stdout.readline().strip()
        finally:
            run.send_signal(signal.SIGTERM)


def one_round(url: str, key: str, folder: Path, joint: bytes, seconds: int) -> list[dict[str, object]]:
    raw = {
        "one": rate(joint, batch=1, threads=1, seconds=RAW_SECONDS),
        "best": max(
            rate(joint, batch=32, threads=2, seconds=RAW_SECONDS), rate(joint, batch=8, threads=2, seconds=1.0)
        ),
        "p50_ms": p50_ms(joint, seconds=RAW_SECONDS),
    }
    rows: list[dict[str, object]] = []
    for clients in CLIENTS:
        for payload in payloads(key):
            drive(url, payload, folder, clients=clients, seconds=1)
            load = drive(url, payload, folder, clients=clients, seconds=seconds)
            rows.append(
                {
                    "clients": clients,
                    "payload": payload.name,
                    "rate": load.rate,
                    "of best": load.rate / raw["best"],
                    "of one": load.rate / raw["one"],
                    "p50_ms": load.p50_ms,
                    "p99_ms": load.p99_ms,
                    "p50 of raw": load.p50_ms / raw["p50_ms"],
                    "failed": load.failed,
                }
            )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    pair = make_pair()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = home_settings(folder / "home")
        install_pair(pair, settings)
        key = give_key(settings)
        joint = merged(pair)
        with served(folder / "home") as url:
            rounds = [
                one_round(url, key, folder, joint, wanted.seconds)
                for _ in track(range(wanted.rounds), console=Console(stderr=True), transient=True)
            ]
    rows = [_median(cells) for cells in zip(*rounds, strict=True)]
    if wanted.json:
        print(json.dumps(rows))
    else:
        _show(rows)
    return int(any(row["failed"] for row in rows))


def _median(cells: tuple[dict[str, object], ...]) -> dict[str, object]:
    numbers = {name for name, value in cells[0].items() if isinstance(value, float)}
    row = {
        name: median(float(str(cell[name])) for cell in cells) if name in numbers else value
        for name, value in cells[0].items()
    }
    return {**row, "failed": sum(int(str(cell["failed"])) for cell in cells)}


def _show(rows: list[dict[str, object]]) -> None:
    table = Table(
        "clients", "payload", "req/s", "of best raw", "of raw, one thread", "p50 ms", "p99 ms", "p50 of raw", "failed"
    )
    for row in rows:
        cells = [f"{value:,.2f}" if isinstance(value, float) else str(value) for value in row.values()]
        table.add_row(*cells)
    Console(width=120).print(table)


if __name__ == "__main__":
    sys.exit(main())
