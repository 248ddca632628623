"""One mixed batch: each group of rows through its corrector, then all rows through one run of the frozen model.

Every row is computed by exactly the version that its answer names. A corrector that fails or yields something that is
not finite costs its rows the correction, never the answer: the frozen model sees the uncorrected rows, and the answer
says `corrected=False`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from service.engine.session import Array, SessionError

COMPARING_S = 5.0


class Graph(Protocol):
    """What runs: a corrector or the frozen model."""

    def run(self, x: Array) -> list[Array]:
        """All outputs for a batch."""


@dataclass(frozen=True)
class Version:
    """One corrector, loaded and rehearsed; number 0 is the identity and has no graph."""

    number: int
    graph: Graph | None


@dataclass(frozen=True)
class Request:
    """The rows of one caller, to be answered together by one version."""

    rows: Array
    version: Version


@dataclass(frozen=True)
class Answer:
    """The frozen model's outputs for one request, in the model's order, and whether its rows were corrected."""

    outputs: tuple[Array, ...]
    corrected: bool


class Pipeline:
    """The frozen model behind any number of correctors.

    Args:
        frozen: the frozen model.
        mixes: whether rows of different callers may share a run; see `mixes_exactly`.
    """

    def __init__(self, frozen: Graph, *, mixes: bool) -> None:
        self._frozen = frozen
        self._mixes = mixes

    def run(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer all requests, in order.

        Raises:
            SessionError: the frozen model itself fails.
        """
        prepared, corrected = _correct(requests)
        if self._mixes:
            outputs = _split(self._frozen.run(np.concatenate(prepared)), [len(rows) for rows in prepared])
        else:
            outputs = [tuple(self._frozen.run(rows)) for rows in prepared]
        return [Answer(out, done) for out, done in zip(outputs, corrected, strict=True)]


def mixes_exactly(
    frozen: Graph, rows: Array, *, clock: Callable[[], float] = time.monotonic, budget_s: float = COMPARING_S
) -> bool:
    """Whether each row's outputs are the same bits alone, as in every prefix of `rows`.

    Some matrix kernels sum in another order when the batch has another size. Where so, callers do not share runs; nor
    do they where finding out takes longer than `budget_s`: a model that slow has the processors busy with one row, and
    a service that starts must not spend a minute on the question. An output without one entry a row cannot be shared
    out at all.

    Raises:
        SessionError: the frozen model fails.
    """
    deadline = clock() + budget_s
    alone: list[list[Array]] = []
    for size in range(1, len(rows) + 1):
        if clock() > deadline:
            return False
        # A row alone and the prefix that ends with it: what differs at all differs early.
        alone.append(frozen.run(rows[size - 1 : size]))
        if not _are_rows(frozen.run(rows[:size]), alone):
            return False
    return True


def _are_rows(together: list[Array], alone: list[list[Array]]) -> bool:
    """Whether every output of a run has the same bits for each row as the run of that row alone."""
    return all(
        output.shape[:1] == (len(alone),)
        and all(
            outputs[index].shape[:1] == (1,) and np.array_equal(row, outputs[index][0])
            for row, outputs in zip(output, alone, strict=True)
        )
        for index, output in enumerate(together)
    )


def _correct(requests: Sequence[Request]) -> tuple[list[Array], list[bool]]:
    rows = [request.rows for request in requests]
    corrected = [False] * len(requests)
    groups: dict[int, list[int]] = {}
    for index, request in enumerate(requests):
        if request.version.graph is not None:
            groups.setdefault(id(request.version.graph), []).append(index)
    for members in groups.values():
        results = _apply(requests[members[0]].version.graph, [requests[i].rows for i in members])
        for index, result in zip(members, results, strict=True):
            if result is not None:
                rows[index], corrected[index] = result, True
    return rows, corrected


def _apply(graph: Graph | None, parts: list[Array]) -> list[Array | None]:
    """Each part corrected, or None where the corrector fails on it."""
    assert graph is not None
    together = np.concatenate(parts)
    try:
        result = graph.run(together)[0]
    except SessionError:
        return [None] * len(parts)
    # Before it is split: it may have no axis at all, or the rows of one caller at the places of another's.
    if (result.dtype, result.shape) != (together.dtype, together.shape):
        return [None] * len(parts)
    pieces = np.split(result, np.cumsum([len(part) for part in parts])[:-1])
    return [piece if np.isfinite(piece).all() else None for piece in pieces]


def _split(outputs: list[Array], counts: list[int]) -> list[tuple[Array, ...]]:
    edges = np.cumsum(counts)[:-1]
    pieces = [np.split(output, edges) for output in outputs]
    return [tuple(piece[index] for piece in pieces) for index in range(len(counts))]
