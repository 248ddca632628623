"""What onnxruntime alone answers on this machine: images a second through the merged graph, without a server."""

import time
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx.compose import add_prefix, merge_models

from benchmarks.serving.pair import Pair

RAW_S = 1.5


@dataclass(frozen=True)
class Limit:
    """What there is to reach.

    Attributes:
        best: images a second at the best batch and number of threads.
        one: images a second one by one on one thread. p50_ms: median time of one of these.
    """

    best: float
    one: float
    p50_ms: float


def measure_limit(joint: bytes) -> Limit:
    """Of a merged graph, now."""
    best = max(rate(joint, batch=batch, threads=2, seconds=RAW_S) for batch in (8, 32))
    return Limit(best, rate(joint, batch=1, threads=1, seconds=RAW_S), p50_ms(joint, seconds=RAW_S))


def merged(pair: Pair) -> bytes:
    """Corrector and frozen model as one graph."""
    corrector, frozen = onnx.load_from_string(pair.corrector), onnx.load_from_string(pair.frozen)
    joint = merge_models(
        add_prefix(corrector, "corrector_"),
        add_prefix(frozen, "frozen_"),
        io_map=[(f"corrector_{corrector.graph.output[0].name}", f"frozen_{frozen.graph.input[0].name}")],
    )
    return bytes(joint.SerializeToString())


def rate(content: bytes, *, batch: int, threads: int, seconds: float) -> float:
    """Images a second in a loop of runs."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    feed = _feed(session, batch)
    for _ in range(3):
        session.run(None, feed)
    started, runs = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        session.run(None, feed)
        runs += 1
    return runs * batch / (time.perf_counter() - started)


def p50_ms(content: bytes, *, seconds: float) -> float:
    """Median time of one image on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    feed = _feed(session, 1)
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - started)
    return 1000 * float(np.median(times))


def _feed(session: ort.InferenceSession, batch: int) -> dict[str, NDArray[np.float32]]:
    (entry,) = session.get_inputs()
    return {entry.name: np.random.default_rng(0).random((batch, *entry.shape[1:]), dtype=np.float32)}
