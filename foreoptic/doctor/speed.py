"""Section "speed": how fast this machine runs the frozen model, with how many threads, and what correctors add."""

from collections.abc import Callable
from dataclasses import dataclass

from foreoptic.doctor.interface import with_any_rows
from foreoptic.doctor.stages import TOGETHER, correctors, exported
from foreoptic.doctor.timing import in_turns
from service.contract.input_spec import InputSpec
from service.engine.pipeline import Graph
from service.engine.session import Array, OnnxSession

SETTING = "FOREOPTIC_THREADS"
CLOSE = 1.03
"""Within this factor of the fastest, fewer threads are better: they leave the processors to others."""
BUDGET_S = 1.0
"""Of each of the four measurements; slow models take longer, for every task has to run at least once."""


@dataclass(frozen=True)
class ThreadSpeed:
    """The bare model with a number of threads: milliseconds of one image and of a batch."""

    threads: int
    one_ms: float
    batch_ms: float
    images_per_s: float


@dataclass(frozen=True)
class StageCost:
    """What a corrector takes when it runs in turns with the frozen model, and as a share of the bare model."""

    name: str
    parameters: int
    one_ms: float
    one_percent: float
    batch_ms: float
    batch_percent: float


@dataclass(frozen=True)
class Pair:
    """Milliseconds of the frozen model bare and behind all stages: they differ where one is in the other's way."""

    bare_one_ms: float
    bare_batch_ms: float
    behind_one_ms: float
    behind_batch_ms: float


@dataclass(frozen=True)
class Threads:
    """The bare model, by threads.

    Attributes:
        batch: images of a batch.
        best: threads for the most images a second; best_one: for the fastest answer to a single image.
        setting: the environment variable that sets them.
    """

    batch: int
    speeds: tuple[ThreadSpeed, ...]
    best: int
    best_one: int
    setting: str


@dataclass(frozen=True)
class Speed:
    """Everything that was timed; stages each alone with the best threads, together as one corrector of all of them."""

    threads: Threads
    pair: Pair
    stages: tuple[StageCost, ...]
    together: StageCost


def time_threads(content: bytes, spec: InputSpec, *, batch: int, cores: int) -> Threads:
    """The bare model with 1 to `cores` threads. Raises SessionError."""
    graphs = {count: with_any_rows(OnnxSession(content, threads=count), spec) for count in _thread_counts(cores)}
    one, many = (
        in_turns({count: _run(graph, spec.noise(rows)) for count, graph in graphs.items()}, budget_s=BUDGET_S, fewest=1)
        for rows in (1, batch)
    )
    speeds = tuple(ThreadSpeed(count, one[count] * 1e3, many[count] * 1e3, batch / many[count]) for count in graphs)
    return Threads(batch, speeds, _fewest(many), _fewest(one), SETTING)


def time_stages(content: bytes, spec: InputSpec, threads: Threads) -> Speed:
    """What every stage adds, in front of the model. Raises SessionError."""
    made = correctors(spec)
    graphs = {name: OnnxSession(exported(each, spec), threads=threads.best) for name, each in made.items()}
    frozen = with_any_rows(OnnxSession(content, threads=threads.best), spec)
    one, many = (_turns(frozen, graphs, spec.noise(rows)) for rows in (1, threads.batch))
    costs = {name: _cost(name, each.size(), one, many) for name, each in made.items()}
    together = costs.pop(TOGETHER)
    return Speed(threads, Pair(one.bare, many.bare, one.behind, many.behind), tuple(costs.values()), together)


def _cost(name: str, parameters: int, one: "_Turns", many: "_Turns") -> StageCost:
    return StageCost(
        name=name,
        parameters=parameters,
        one_ms=one.correctors[name],
        one_percent=100 * one.correctors[name] / one.bare,
        batch_ms=many.correctors[name],
        batch_percent=100 * many.correctors[name] / many.bare,
    )


def _thread_counts(cores: int) -> list[int]:
    """1, 2, 4 and so on, and all cores."""
    return sorted({*(1 << power for power in range(cores.bit_length())), cores})


def _fewest(taken: dict[int, float]) -> int:
    return min(threads for threads, seconds in taken.items() if seconds <= min(taken.values()) * CLOSE)


@dataclass(frozen=True)
class _Turns:
    """Median milliseconds at one number of rows; `behind` is the model right after all stages together."""

    bare: float
    behind: float
    correctors: dict[str, float]


def _turns(frozen: Graph, graphs: dict[str, OnnxSession], rows: Array) -> _Turns:
    """The bare model, each corrector, and the model again, in turns: two runs of what is slow."""
    bare, behind = "the model", "the model behind all stages"
    # Behind a slow model a single round has to do: what its first run allocates must not count as a corrector's time.
    corrected = {name: graph.run(rows)[0] for name, graph in graphs.items()}
    correctors = {name: _run(graph, rows) for name, graph in graphs.items()}
    tasks = {bare: _run(frozen, rows), **correctors, behind: _run(frozen, corrected[TOGETHER])}
    taken = {name: seconds * 1e3 for name, seconds in in_turns(tasks, budget_s=BUDGET_S, fewest=1).items()}
    return _Turns(taken[bare], taken[behind], {name: taken[name] for name in graphs})


def _run(graph: Graph, rows: Array) -> Callable[[], None]:
    def run() -> None:
        graph.run(rows)

    return run
