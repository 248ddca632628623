"""Running one ONNX graph: the only file that imports onnxruntime.

Graphs come as bytes that were hashed by the caller, never as a path: what was verified is what runs, and external data
cannot be reached.
"""

from dataclasses import dataclass
from typing import Any

import onnxruntime as ort
from numpy.typing import NDArray

from service.engine.provider import Provider

Array = NDArray[Any]


DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
    "tensor(bool)": "bool",
}
"""onnxruntime's names of the element types that an output may have, and numpy's."""


class SessionError(Exception):
    """A graph cannot be loaded or run."""


@dataclass(frozen=True)
class OutputTensor:
    """What a graph says of one of its outputs; the dtype is numpy's name, -1 stands for an open size."""

    name: str
    dtype: str
    shape: tuple[int, ...]


EXECUTION = {Provider.CPU: "CPUExecutionProvider", Provider.CUDA: "CUDAExecutionProvider"}
"""onnxruntime's names."""


class OnnxSession:
    """An onnxruntime session over `content`, with `threads` threads.

    Attributes:
        device: what it really computes on: `cuda` asked for and not to be had is `cpu`.
    """

    def __init__(self, content: bytes, *, threads: int, provider: Provider = Provider.CPU) -> None:
        self.options = session_options(threads, provider)
        try:
            self._session = ort.InferenceSession(content, _options(self.options), providers=_execution(provider))
        # onnxruntime's exception types have no common base of their own.
        except Exception as error:
            raise SessionError("onnxruntime refuses the graph") from error
        self.device = provider if EXECUTION[provider] in self._session.get_providers() else Provider.CPU
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise SessionError(f"the graph has {len(inputs)} inputs, one is needed")
        self._input = inputs[0].name
        self.outputs = tuple(_output(node) for node in self._session.get_outputs())

    def run(self, x: Array) -> list[Array]:
        """All outputs for a batch x (n, ...) of the graph's own element type and layout.

        Raises:
            SessionError: the graph fails on this batch.
        """
        try:
            return list(self._session.run(None, {self._input: x}))
        except Exception as error:  # as above
            raise SessionError("the graph fails on this batch") from error

    def run_bound(self, x: Array | ort.OrtValue) -> list[ort.OrtValue]:
        """All outputs, left in the device's memory, for a batch on the host or already there.

        Raises:
            SessionError: the graph fails on this batch.
        """
        try:
            binding = self._session.io_binding()
            if isinstance(x, ort.OrtValue):
                binding.bind_ortvalue_input(self._input, x)
            else:
                binding.bind_cpu_input(self._input, x)
            for output in self.outputs:
                binding.bind_output(output.name, str(self.device))
            self._session.run_with_iobinding(binding)
            return list(binding.get_outputs())
        except Exception as error:  # as above
            raise SessionError("the graph fails on this batch") from error


def session_options(threads: int, provider: Provider = Provider.CPU) -> dict[str, str]:
    """The options that decide how a graph is computed, as the attestation shows them."""
    return {
        "provider": str(provider),
        "intra_op_num_threads": str(threads),
        "inter_op_num_threads": "1",
        "graph_optimization_level": "ORT_ENABLE_ALL",
        "execution_mode": "ORT_SEQUENTIAL",
        # Corrector and frozen model take turns: a pool that keeps spinning takes the other's processors.
        "session.force_spinning_stop": "1",
        # Bytes that onnxruntime takes for its own format are another graph than the one that was judged as ONNX.
        "session.load_model_format": "ONNX",
    }


def _options(chosen: dict[str, str]) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = int(chosen["intra_op_num_threads"])
    options.inter_op_num_threads = int(chosen["inter_op_num_threads"])
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, chosen["graph_optimization_level"])
    options.execution_mode = getattr(ort.ExecutionMode, chosen["execution_mode"])
    for entry in ("session.force_spinning_stop", "session.load_model_format"):
        options.add_session_config_entry(entry, chosen[entry])
    # Errors reach the caller as exceptions; onnxruntime's own log would print them a second time.
    options.log_severity_level = 4
    return options


def _execution(provider: Provider) -> list[str]:
    """The provider where this build of onnxruntime has it, and behind it the processor for what it cannot do."""
    wanted = dict.fromkeys((EXECUTION[provider], EXECUTION[Provider.CPU]))
    return [name for name in wanted if name in ort.get_available_providers()]


def _output(node: Any) -> OutputTensor:  # onnxruntime's NodeArg has no types
    dtype = DTYPES.get(node.type)
    if dtype is None:
        raise SessionError(f"output '{node.name}' is a {node.type}; outputs are {', '.join(DTYPES)}")
    return OutputTensor(node.name, dtype, tuple(side if isinstance(side, int) else -1 for side in node.shape))


def runtime_version() -> str:
    """Onnxruntime's version, for the attestation."""
    return str(ort.__version__)
