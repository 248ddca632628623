"""From a handle and rows to an answer: one batcher and one thread a frozen model."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from service.contract.manifest import OutputSpec
from service.engine.batcher import Batcher, Closed, Overloaded
from service.engine.pipeline import Answer, Request
from service.engine.session import Array, SessionError
from service.metrics import Metrics
from service.registry import Handle, Registry


class Serving:
    """Answers requests through the registry's models."""

    def __init__(self, registry: Registry, metrics: Metrics, *, batch_images: int, queue_images: int) -> None:
        self._registry = registry
        self._metrics = metrics
        self._batch_images = batch_images
        self._queue_images = queue_images
        self._batchers: dict[str, Batcher[Request, Answer]] = {}
        self._executors: dict[str, ThreadPoolExecutor] = {}

    @property
    def is_alive(self) -> bool:
        """Whether every batcher that was started still serves."""
        return all(batcher.is_alive for batcher in self._batchers.values())

    async def answer(self, handle: Handle, rows: Array) -> Answer:
        """The frozen model's outputs for `rows`, through the handle's version.

        Raises:
            Overloaded: too many images wait already.
            Closed: the service is stopping.
            SessionError: the frozen model fails.
        """
        name = handle.model.row.name
        batcher = self._batchers.get(name) or self._start(name)
        try:
            result = await batcher.submit(Request(rows, handle.version), len(rows))
        except Overloaded:
            self._metrics.shed.labels(name).inc()
            raise
        decision = "corrected" if result.corrected else "uncorrected" if handle.version.graph is None else "failed_open"
        self._metrics.images.labels(name, decision).inc(len(rows))
        return result

    async def close(self) -> None:
        """Answer what was accepted, then stop."""
        for name, batcher in self._batchers.items():
            await batcher.close()
            self._executors[name].shutdown()

    def _start(self, name: str) -> Batcher[Request, Answer]:
        # One thread a model: onnxruntime's own pool has the processors, a second run beside it would only wait.
        executor = ThreadPoolExecutor(1, thread_name_prefix=f"run-{name}")
        batcher: Batcher[Request, Answer] = Batcher(
            lambda requests: self._run(name, requests),
            executor=executor,
            batch_limit=self._batch_images,
            queue_limit=self._queue_images,
        )
        batcher.start()
        self._executors[name], self._batchers[name] = executor, batcher
        self._metrics.queued_images.labels(name).set_function(lambda: batcher.queued_weight)
        return batcher

    def _run(self, name: str, requests: Sequence[Request]) -> list[Answer]:
        started = time.perf_counter()
        answers = self._registry.model(name).pipeline.run(requests)
        self._metrics.run_seconds.labels(name).observe(time.perf_counter() - started)
        self._metrics.batch_images.labels(name).observe(sum(len(request.rows) for request in requests))
        return answers


def scores(handle: Handle, answer: Answer, *, rows: int) -> tuple[OutputSpec, Array]:
    """The output that holds the class scores, (rows, classes).

    Raises:
        SessionError: what came out has another shape; whoever read it as scores would name a class at random.
    """
    output = handle.model.manifest.output
    values = answer.outputs[handle.model.position(output.name)]
    if values.shape[:1] != (rows,) or values.size != rows * output.classes:
        raise SessionError(
            f"output '{output.name}' has shape {values.shape} for {rows} rows; ({rows}, {output.classes}) is needed"
        )
    return output, values.reshape(rows, output.classes)


__all__ = ["Closed", "Overloaded", "Serving", "scores"]
