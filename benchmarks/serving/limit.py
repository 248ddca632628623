"""What onnxruntime alone answers on this machine: images a second through the merged graph, without a server."""

import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx.compose import add_prefix, merge_models

from benchmarks.serving.pair import SHAPE, Pair


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
    feed = {session.get_inputs()[0].name: np.random.default_rng(0).random((batch, *SHAPE), dtype=np.float32)}
    for _ in range(10):
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
    feed = {session.get_inputs()[0].name: np.random.default_rng(0).random((1, *SHAPE), dtype=np.float32)}
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - started)
    return 1000 * float(np.median(times))
