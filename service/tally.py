"""What every version has answered: what the protocol's statistics and Triton's metrics are made of.

A version's number comes from the store, never from a request; of more than MOST_VERSIONS the rest is counted together.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

MOST_VERSIONS = 100
OTHER = "other"
Key = tuple[str, str]
"""Names of a frozen model and of a version."""
_REST = -1


class Failure(StrEnum):
    """Why a request was not answered, in Triton's words."""

    REJECTED = "REJECTED"
    CANCELED = "CANCELED"
    BACKEND = "BACKEND"
    OTHER = "OTHER"


@dataclass
class Counts:
    """Of one version.

    Attributes:
        requests, images: that were answered. executions: runs of the frozen model that it had rows in.
        request_ns, queue_ns, infer_ns: of the answered requests, from their arrival, in the queue, and in runs.
        failures: requests that were not answered, by reason. failure_ns: how long those took.
        last_ms: when the last one was answered, milliseconds since 1970; 0 for never.
    """

    requests: int = 0
    images: int = 0
    executions: int = 0
    request_ns: int = 0
    queue_ns: int = 0
    infer_ns: int = 0
    failures: dict[Failure, int] = field(default_factory=lambda: dict.fromkeys(Failure, 0))
    failure_ns: int = 0
    last_ms: int = 0


class Tally:
    """Counts of every version that has been asked for."""

    def __init__(self) -> None:
        # By number, which needs no text made of it for every request.
        self._counts: dict[tuple[str, int], Counts] = {}

    def of(self, model: str, version: int) -> Counts:
        """The counts of a version, or those of all others once there are too many."""
        found = self._counts.get((model, version))
        if found is None:
            key = (model, version if len(self._counts) < MOST_VERSIONS else _REST)
            found = self._counts.setdefault(key, Counts())
        return found

    def answered(self, counts: Counts, images: int, *, arrived_ns: int, started_ns: int, ended_ns: int) -> None:
        """Count one answered request; times are of `time.perf_counter_ns`."""
        counts.requests += 1
        counts.images += images
        counts.request_ns += time.perf_counter_ns() - arrived_ns
        counts.queue_ns += started_ns - arrived_ns
        counts.infer_ns += ended_ns - started_ns
        counts.last_ms = time.time_ns() // 1_000_000

    def failed(self, counts: Counts, reason: Failure, *, arrived_ns: int) -> None:
        """Count one request that was not answered."""
        counts.failures[reason] += 1
        counts.failure_ns += time.perf_counter_ns() - arrived_ns

    def items(self) -> list[tuple[Key, Counts]]:
        """Every version with its counts, in order."""
        return [
            ((model, OTHER if version == _REST else str(version)), counts)
            for (model, version), counts in sorted(self._counts.items())
        ]


_COUNTED = (
    ("nv_inference_request_success", "Answered requests.", lambda c: c.requests),
    ("nv_inference_count", "Answered images.", lambda c: c.images),
    ("nv_inference_exec_count", "Runs of the frozen model.", lambda c: c.executions),
    ("nv_inference_request_duration_us", "Cumulative, of answered requests.", lambda c: c.request_ns // 1000),
    ("nv_inference_queue_duration_us", "Cumulative time in the queue.", lambda c: c.queue_ns // 1000),
    ("nv_inference_compute_input_duration_us", "Always 0: tensors are read and written outside runs.", lambda _: 0),
    ("nv_inference_compute_infer_duration_us", "Cumulative time in runs.", lambda c: c.infer_ns // 1000),
    ("nv_inference_compute_output_duration_us", "Always 0: tensors are read and written outside runs.", lambda _: 0),
)


class TritonNames(Collector):
    """The same under Triton's own names, which dashboards know: no suffix, no type that would call for one."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterator[Metric]:
        """Every family, a sample for each version."""
        rows = [({"model": model, "version": version}, counts) for (model, version), counts in self._tally.items()]
        for name, text, value in _COUNTED:
            family = Metric(name, text, "untyped")
            for labels, counts in rows:
                family.add_sample(name, labels, value(counts))
            yield family
        failures = Metric("nv_inference_request_failure", "Requests that were not answered.", "untyped")
        for labels, counts in rows:
            for reason, number in counts.failures.items():
                failures.add_sample(failures.name, {**labels, "reason": str(reason)}, number)
        yield failures
