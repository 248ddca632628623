"""How much slower is the reading of an ONNX file than the torch network that it was exported from?

    python -m benchmarks.frozen_reading --threads 2

Forward for every architecture of the zoo; forward and gradient to the pictures for the whole ResNet-20 on 128 pictures
of 32 x 32. Native means the same module in inference mode, its weights without gradient. Every file is measured twice:
with its normalisations folded into the convolutions by the exporter, and with them kept as they are natively.
Exit status 1: a ratio is above the goal.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor, nn

from trainer.frozen import FrozenModel, load_frozen
from trainer.studies.frozen_models.exporters import Export, export
from trainer.studies.zoo import ARCHITECTURES, build

GOAL = 1.5
FORWARD_ROWS, BACKWARD_ROWS = 64, 128
BACKWARD = "ResNet-20"

Clock = Callable[[], float]


@dataclass(frozen=True)
class Ratio:
    """One comparison.

    Attributes:
        architecture: key of `ARCHITECTURES`.
        work: "forward" or "forward and backward".
        norms: BatchNormalization in the file: "folded" or "kept", "none" if the network has none.
        native_ms, reading_ms: medians.
        ratio: median over pairs of reading to native.
        low, high: quartiles of the same.
        best: fastest reading to fastest native run, which a busy machine disturbs least.
    """

    architecture: str
    work: str
    norms: str
    native_ms: float
    reading_ms: float
    ratio: float
    low: float
    high: float
    best: float


def compare(native: Callable[[], object], reading: Callable[[], object], rounds: int, clock: Clock) -> dict[str, float]:
    """Time both in turn, the one that begins changing from pair to pair; two pairs to warm up do not count."""
    pairs = []
    for number in range(rounds + 2):
        seconds = {}
        for call in (native, reading) if number % 2 else (reading, native):
            start = clock()
            call()
            seconds[call] = clock() - start
        pairs.append((seconds[native], seconds[reading]))
    counted = pairs[2:]
    ratios = sorted(mine / theirs for theirs, mine in counted)
    return {
        "native_ms": 1e3 * median(theirs for theirs, _ in counted),
        "reading_ms": 1e3 * median(mine for _, mine in counted),
        "ratio": median(ratios),
        "low": ratios[len(ratios) // 4],
        "high": ratios[-len(ratios) // 4],
        "best": min(mine for _, mine in counted) / min(theirs for theirs, _ in counted),
    }


def forward(model: nn.Module, images: Tensor) -> Callable[[], Tensor]:
    """Class scores without a gradient."""

    @torch.no_grad()
    def run() -> Tensor:
        scores: Tensor = model(images)
        return scores

    return run


def forward_and_backward(model: nn.Module, images: Tensor) -> Callable[[], Tensor]:
    """The gradient of the sum of logsumexp(scores) to the pictures."""
    leaf = images.clone().requires_grad_()

    def run() -> Tensor:
        (gradient,) = torch.autograd.grad(model(leaf).logsumexp(dim=1).sum(), leaf)
        return gradient

    return run


def measure(only: str, rounds: int, clock: Clock, console: Console) -> list[Ratio]:
    """Every comparison whose architecture has `only` in its name."""
    names = [name for name in ARCHITECTURES if only.lower() in name.lower()]
    tasks = [(name, forward, FORWARD_ROWS) for name in names]
    tasks += [(name, forward_and_backward, BACKWARD_ROWS) for name in names if name == BACKWARD]
    ratios = []
    for name, work, rows in track(tasks, "timing", console=console):
        net, shape = build(name).requires_grad_(False), ARCHITECTURES[name].shape
        images = torch.randn(rows, *shape, generator=torch.Generator().manual_seed(0))
        for norms, reading in _readings(net, shape).items():
            numbers = compare(work(net, images), work(reading, images), rounds, clock)
            ratios.append(Ratio(name, work.__name__.replace("_", " "), norms, **numbers))
    return ratios


def _readings(net: nn.Module, shape: tuple[int, int, int]) -> dict[str, FrozenModel]:
    ways = {"none": Export("tracing", 17)}
    if any(isinstance(module, nn.BatchNorm2d) for module in net.modules()):
        ways = {"folded": ways["none"], "kept": Export("tracing", 17, keep_norms=True)}
    return {norms: load_frozen(export(net, shape, way)) for norms, way in ways.items()}


def main() -> None:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=21, help="pairs per comparison")
    parser.add_argument("--only", default="", metavar="TEXT", help="architectures whose name has this in it")
    parser.add_argument("--processor-time", action="store_true", help="of all threads; for a machine that is busy")
    parser.add_argument("--json", action="store_true", help="rows as JSON instead of a table")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.process_time if arguments.processor_time else time.perf_counter
    ratios = measure(arguments.only, arguments.rounds, clock, Console(stderr=True))
    if arguments.json:
        json.dump([asdict(ratio) for ratio in ratios], sys.stdout, indent=1)
    else:
        Console().print(table(ratios))
    sys.exit(0 if all(ratio.ratio <= GOAL for ratio in ratios) else 1)


def table(ratios: list[Ratio]) -> Table:
    """For people."""
    shown = Table("architecture", "work", "norms", "native, ms", "reading, ms", "ratio", "quartiles", "best")
    for ratio in ratios:
        numbers = (f"{ratio.native_ms:.1f}", f"{ratio.reading_ms:.1f}", f"{ratio.ratio:.2f}")
        quartiles = f"{ratio.low:.2f} to {ratio.high:.2f}"
        style = "" if ratio.ratio <= GOAL else "red"
        shown.add_row(
            ratio.architecture, ratio.work, ratio.norms, *numbers, quartiles, f"{ratio.best:.2f}", style=style
        )
    return shown


if __name__ == "__main__":
    main()
