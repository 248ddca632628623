"""Timing several things fairly: in turns, so that what else the machine does hits all of them, and by the median."""

from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter
from typing import TypeVar

K = TypeVar("K")


def in_turns(
    tasks: Mapping[K, Callable[[], None]], *, budget_s: float, fewest: int, clock: Callable[[], float] = perf_counter
) -> dict[K, float]:
    """Median seconds of each task.

    All run once a round, for as many rounds as fit into the budget, and at least `fewest` (1 or more). The first round
    warms up and does not count if there is a second.
    """
    taken: dict[K, list[float]] = {name: [] for name in tasks}
    started, rounds = clock(), 0
    while rounds < fewest or (clock() - started) * (rounds + 1) / rounds < budget_s:
        for name, task in tasks.items():
            begun = clock()
            task()
            taken[name].append(clock() - begun)
        rounds += 1
    return {name: median(seconds[1:] or seconds) for name, seconds in taken.items()}
