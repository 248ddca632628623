"""From a handle and rows to an answer: one batcher and one thread a frozen model."""

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from service.contract.manifest import OutputSpec
from service.engine.batcher import Batcher, Closed, Overloaded
from service.engine.pipeline import Answer, Request
from service.engine.session import Array, SessionError
from service.metrics import Metrics
from service.registry import Handle, Registry
from service.tally import Failure

DEFAULT_PRIORITY = 8
QUICK_S = 0.02
"""Runs that take no longer happen on the event loop: the way to another thread and back takes a few tenths of a
millisecond on two processors, which is more than a small model needs. Nothing else is answered meanwhile."""
FORGETTING = 0.98
"""What is left of the slowest run's seconds an image at each further run."""


class Run(NamedTuple):
    """An answer, and from when to when its run took, of `time.perf_counter_ns`."""

    answer: Answer
    started_ns: int
    ended_ns: int


class Serving:
    """Answers requests through the registry's models."""

    def __init__(self, registry: Registry, metrics: Metrics, *, batch_images: int, queue_images: int) -> None:
        self._registry = registry
        self._metrics = metrics
        self._batch_images = batch_images
        self._queue_images = queue_images
        self._batchers: dict[str, Batcher[Request, Run]] = {}
        self._executors: dict[str, ThreadPoolExecutor] = {}
        # Seconds an image took in the slowest of the last runs.
        self._slow_s: dict[str, float] = {}

    def is_full(self, model: str) -> bool:
        """Whether a request for a model would be refused now."""
        batcher = self._batchers.get(model)
        return batcher is not None and batcher.queued_weight >= self._queue_images

    async def answer(self, handle: Handle, rows: Array, *, priority: int = DEFAULT_PRIORITY) -> Answer:
        """The frozen model's outputs for `rows`, through the handle's version.

        Args:
            priority: a lower number goes first.

        Raises:
            Overloaded: too many images wait already.
            Closed: the service is stopping.
            SessionError: the frozen model fails.
        """
        name = handle.model.row.name
        batcher = self._batchers.get(name) or self._start(name)
        counts, arrived_ns = self._metrics.tally.of(name, handle.version.number), time.perf_counter_ns()
        try:
            run = await batcher.submit(Request(rows, handle.version), len(rows), priority)
        except BaseException as error:
            self._metrics.tally.failed(counts, _failure(error), arrived_ns=arrived_ns)
            if isinstance(error, Overloaded):
                self._metrics.shed.labels(name).inc()
            raise
        self._metrics.tally.answered(
            counts, len(rows), arrived_ns=arrived_ns, started_ns=run.started_ns, ended_ns=run.ended_ns
        )
        corrected, graph = run.answer.corrected, handle.version.graph
        decision = "corrected" if corrected else "uncorrected" if graph is None else "failed_open"
        self._metrics.count_images(name, decision, len(rows))
        return run.answer

    async def close(self) -> None:
        """Answer what was accepted, then stop."""
        for name, batcher in self._batchers.items():
            await batcher.close()
            self._executors[name].shutdown()

    def _start(self, name: str) -> Batcher[Request, Run]:
        # One thread a model: onnxruntime's own pool has the processors, a second run beside it would only wait.
        executor = ThreadPoolExecutor(1, thread_name_prefix=f"run-{name}")
        batcher: Batcher[Request, Run] = Batcher(
            lambda requests: self._run(name, requests),
            executor=executor,
            batch_limit=self._batch_images,
            queue_limit=self._queue_images,
            on_loop=lambda images: images * self._slow_s[name] <= QUICK_S,
        )
        self._slow_s[name] = self._registry.model(name).run_s / self._batch_images
        self._executors[name], self._batchers[name] = executor, batcher
        self._metrics.queued_images.labels(name).set_function(lambda: batcher.queued_weight)
        return batcher

    def _run(self, name: str, requests: Sequence[Request]) -> list[Run]:
        started_ns = time.perf_counter_ns()
        images = sum(len(request.rows) for request in requests)
        try:
            answers = self._registry.model(name).pipeline.run(requests)
        finally:
            ended_ns = time.perf_counter_ns()
            took_s = (ended_ns - started_ns) / 1e9
            self._slow_s[name] = max(took_s / images, FORGETTING * self._slow_s[name])
        self._metrics.run_seconds.labels(name).observe(took_s)
        self._metrics.batch_images.labels(name).observe(images)
        # A model has one run at a time: no other counts its executions meanwhile.
        for number in {request.version.number for request in requests}:
            self._metrics.tally.of(name, number).executions += 1
        return [Run(answer, started_ns, ended_ns) for answer in answers]


def _failure(error: BaseException) -> Failure:
    if isinstance(error, Overloaded):
        return Failure.REJECTED
    if isinstance(error, asyncio.CancelledError):
        return Failure.CANCELED
    return Failure.BACKEND if isinstance(error, SessionError) else Failure.OTHER


def scores(handle: Handle, answer: Answer, *, rows: int) -> tuple[OutputSpec, Array]:
    """The output that holds the class scores, (rows, classes).

    Raises:
        SessionError: what came out has another shape; whoever read it as scores would name a class at random.
    """
    output = handle.model.manifest.output
    values = answer.outputs[handle.model.positions[output.name]]
    if values.shape[:1] != (rows,) or values.size != rows * output.classes:
        raise SessionError(
            f"output '{output.name}' has shape {values.shape} for {rows} rows; ({rows}, {output.classes}) is needed"
        )
    return output, values.reshape(rows, output.classes)


__all__ = ["Closed", "Overloaded", "Serving", "scores"]
