"""Do a corrector in front and a service around still show at larger models? `python -m benchmarks.serving --large`."""

import tempfile
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.serving.large import mobilenet_pair, resnet_pair
from benchmarks.serving.limit import merged, rate
from benchmarks.serving.load import drive, payloads
from benchmarks.serving.pair import give_key, home_settings, install_pair
from benchmarks.serving.process import service

CLIENTS = 16
BATCHES = (1, 8)
RAW_S = 4.0
PAIRS = {"MobileNetV2-like": mobilenet_pair, "ResNet-18-like": resnet_pair}


def at_224(rounds: int, seconds: int) -> int:
    """Print shares of what onnxruntime alone answers; 1 where a request failed."""
    table = Table("frozen model", "payload", "images/s", "of the chain alone", "of the frozen model alone", "p50 ms")
    failed = 0
    for name, make in PAIRS.items():
        pair, rows = make(), []
        with tempfile.TemporaryDirectory() as folder:
            settings = home_settings(Path(folder) / "home")
            install_pair(pair, settings)
            asked = [each for each in payloads(give_key(settings), pair.shape) if each.name != "v2 JSON"]
            with service(settings.home) as server:
                for _ in range(rounds):
                    chain, alone = _best(merged(pair)), _best(pair.frozen)
                    loads = [drive(server.url, each, Path(folder), clients=CLIENTS, seconds=seconds) for each in asked]
                    rows.append([(load.rate, load.rate / chain, load.rate / alone, load.p50_ms) for load in loads])
                    failed += sum(load.failed for load in loads)
        for place, payload in enumerate(asked):
            rate_, of_chain, of_frozen, p50_ms = (median(row[place][cell] for row in rows) for cell in range(4))
            cells = (f"{rate_:.0f}", f"{of_chain:.2f}", f"{of_frozen:.2f}", f"{p50_ms:.0f}")
            table.add_row(name, payload.name, *cells)
    Console().print(table)
    return int(failed > 0)


def _best(content: bytes) -> float:
    return max(rate(content, batch=batch, threads=2, seconds=RAW_S) for batch in BATCHES)
