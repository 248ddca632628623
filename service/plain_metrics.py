"""Counters and histograms that only the event loop writes.

Plain numbers need no lock: where every request is counted they take a tenth of the time of prometheus_client's own.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

Labels = tuple[str, ...]


class PlainCounter(Collector):
    """A counter; the caller sees to it that the values of its labels are of closed sets."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self._describes = name, documentation, labels
        self._values: dict[Labels, int] = {}

    def inc(self, labels: Labels, amount: int = 1) -> None:
        """Count."""
        self._values[labels] = self._values.get(labels, 0) + amount

    def collect(self) -> Iterator[Metric]:
        """The one family."""
        name, documentation, labels = self._describes
        family = CounterMetricFamily(name, documentation, labels=labels)
        for values, total in list(self._values.items()):
            family.add_metric(values, total)
        yield family


class PlainHistogram(Collector):
    """A histogram with upper bounds `buckets`, rising; as above."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], buckets: Sequence[float]) -> None:
        self._describes = name, documentation, labels
        self._buckets = buckets
        # By labels: how many fell into each bucket, the last one without a bound, and the sum of all.
        self._counts: dict[Labels, list[int]] = {}
        self._sums: dict[Labels, float] = {}

    def observe(self, labels: Labels, value: float) -> None:
        """Count one value."""
        counts = self._counts.get(labels)
        if counts is None:
            # The sum first: who scrapes from another thread looks it up for every count.
            self._sums[labels] = 0.0
            counts = self._counts[labels] = [0] * (len(self._buckets) + 1)
        counts[bisect_left(self._buckets, value)] += 1
        self._sums[labels] += value

    def collect(self) -> Iterator[Metric]:
        """The one family; its buckets hold everything up to their bound, as Prometheus wants it."""
        name, documentation, labels = self._describes
        family = HistogramMetricFamily(name, documentation, labels=labels)
        bounds = [*map(floatToGoString, self._buckets), "+Inf"]
        for values, counts in list(self._counts.items()):
            below = [sum(counts[: place + 1]) for place in range(len(counts))]
            family.add_metric(values, list(zip(bounds, below, strict=True)), self._sums[values])
        yield family
