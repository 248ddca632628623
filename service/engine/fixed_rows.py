"""A graph whose file fixes the number of rows in a run, as one that takes any number. Knows nothing of onnxruntime."""

from math import ceil

import numpy as np

from service.engine.pipeline import Graph
from service.engine.session import Array


class FixedRows:
    """Runs `graph` on `rows` rows at a time; a last run is filled up with copies of the last row, whose answers go.

    Every output of the graph must have one entry a row; registration sees to that.
    """

    def __init__(self, graph: Graph, rows: int) -> None:
        self._graph = graph
        self._rows = rows

    def run(self, x: Array) -> list[Array]:
        """All outputs for a batch of any size from 1.

        Raises:
            SessionError: the graph fails on this batch.
        """
        count = ceil(len(x) / self._rows)
        missing = count * self._rows - len(x)
        whole = np.concatenate([x, np.repeat(x[-1:], missing, axis=0)]) if missing else x
        runs = [self._graph.run(part) for part in np.split(whole, count)]
        return [np.concatenate(parts)[: len(x)] for parts in zip(*runs, strict=True)]
