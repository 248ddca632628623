"""One mixed batch: each group of rows through its corrector, then all rows through one run of the frozen model.

Every row is computed by exactly the version that its answer names. A corrector that fails or yields something that is
not finite costs its rows the correction, never the answer: the frozen model sees the uncorrected rows, and the answer
says `corrected=False`.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from service.engine.session import Array, SessionError

COMPARING_S = 5.0


class Graph(Protocol):
    """What runs: a corrector or the frozen model."""

    def run(self, x: Array) -> list[Array]:
        """All outputs for a batch."""


class DeviceChain(Protocol):
    """Corrector and frozen model on one device; see `chain.py`."""

    def takes(self, graph: object) -> bool:
        """Whether a corrector can be chained."""

    def run(self, corrector: Any, x: Array) -> tuple[Array, list[Array]]:  # of the kind that `takes` said yes to
        """The corrected rows, and every output of the frozen model for them."""


class Version(NamedTuple):
    """One corrector, loaded and rehearsed; number 0 is the identity and has no graph."""

    number: int
    graph: Graph | None


class Request(NamedTuple):
    """The rows of one caller, to be answered together by one version."""

    rows: Array
    version: Version


class Answer(NamedTuple):
    """The frozen model's outputs for one request, in the model's order, and whether its rows were corrected."""

    outputs: tuple[Array, ...]
    corrected: bool


class Pipeline:
    """The frozen model behind any number of correctors.

    Args:
        frozen: the frozen model.
        mixes: whether rows of different callers may share a run; see `mixes_exactly`.
        chain: how a batch of one version goes through both on a device, if it is worth it there.
    """

    def __init__(self, frozen: Graph, *, mixes: bool, chain: "DeviceChain | None" = None) -> None:
        self._frozen = frozen
        self._mixes = mixes
        self._chain = chain

    def run(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer all requests, in order.

        Raises:
            SessionError: the frozen model itself fails.
        """
        chained = self._run_chained(requests)
        if chained is not None:
            return chained
        prepared, corrected = _correct(requests)
        if self._mixes:
            outputs = [_split(output, prepared) for output in self._frozen.run(_joined(prepared))]
            return list(map(Answer, zip(*outputs, strict=True), corrected))
        return [Answer(tuple(self._frozen.run(rows)), done) for rows, done in zip(prepared, corrected, strict=True)]

    def _run_chained(self, requests: Sequence[Request]) -> list[Answer] | None:
        """The same without leaving the device; None where that cannot be done, or the corrector failed."""
        graph = requests[0].version.graph
        may_share = self._mixes or len(requests) == 1
        if self._chain is None or not may_share or graph is None or not self._chain.takes(graph):
            return None
        if any(request.version.graph is not graph for request in requests):
            return None
        parts = [request.rows for request in requests]
        together = _joined(parts)
        try:
            result, outputs = self._chain.run(graph, together)
        except SessionError:
            # Whose fault it was is found out on the way that keeps them apart.
            return None
        if (result.dtype, result.shape) != (together.dtype, together.shape) or not np.isfinite(result).all():
            return None
        pieces = zip(*(_split(output, parts) for output in outputs), strict=True)
        return [Answer(piece, True) for piece in pieces]


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
        results = _apply(requests[members[0]].version.graph, [rows[index] for index in members])
        for index, result in zip(members, results, strict=True):
            if result is not None:
                rows[index], corrected[index] = result, True
    return rows, corrected


def _apply(graph: Graph | None, parts: Sequence[Array]) -> Sequence[Array | None]:
    """Each part corrected, or None where the corrector fails on it."""
    assert graph is not None
    together = _joined(parts)
    try:
        result = graph.run(together)[0]
    except SessionError:
        return [None] * len(parts)
    # Before it is split: it may have no axis at all, or the rows of one caller at the places of another's.
    if (result.dtype, result.shape) != (together.dtype, together.shape):
        return [None] * len(parts)
    pieces = _split(result, parts)
    if np.isfinite(result).all():
        return pieces
    return [piece if np.isfinite(piece).all() else None for piece in pieces]


def _joined(parts: Sequence[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _split(together: Array, parts: Sequence[Array]) -> list[Array]:
    """The rows of each part. Views: `numpy.split` makes the same ones in ten times the time."""
    pieces, start = [], 0
    for part in parts:
        end = start + len(part)
        pieces.append(together[start:end])
        start = end
    return pieces
