"""Compare the differentiable reading of a model with onnxruntime, tensor by tensor.

onnxruntime is what will serve the file, so it is right by definition: a gradient taken through a reading that differs
from it would fit a corrector to another model.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import torch

from trainer.frozen.errors import ParityError, UnsupportedModel
from trainer.frozen.graph import Graph, parse_proto, read_graph
from trainer.frozen.module import FrozenModel
from trainer.runtime import make_session

Measure = Callable[[np.ndarray, np.ndarray], float]

BATCH = 3
SMALLEST_SCALE = 1e-6
SINGLE_TOLERANCE = 1e-4
HALF_TOLERANCE = 2e-2
"""Half precision has 11 bits; a few dozen layers that round in other places differ by some of their last ones."""


class Difference(NamedTuple):
    """How far one tensor is from onnxruntime's; infinitely where shapes or types differ, as the detail then says."""

    error: float
    detail: str


def relative_error(got: np.ndarray, expected: np.ndarray) -> float:
    """max|got - expected| / max(1e-6, max|expected|) over elements that are not equal.

    Equal infinities and pairs of NaN count as equal; a NaN or an infinity on one side only makes the result infinite.
    Both arrays have the same shape; 0 for empty ones.
    """
    a, b = got.astype(np.float64), expected.astype(np.float64)
    differing = ~((a == b) | (np.isnan(a) & np.isnan(b)))
    if not differing.any():
        return 0.0
    if not (np.isfinite(a[differing]).all() and np.isfinite(b[differing]).all()):
        return float("inf")
    scale = np.abs(b[np.isfinite(b)]).max(initial=SMALLEST_SCALE)
    return float(np.abs(a[differing] - b[differing]).max() / scale)


def tolerance_of(graph: Graph) -> float:
    """The relative error that two right ways of computing a graph may have, by the precision that it is stored in."""
    read = {name for node in graph.nodes for name in node.inputs}
    stored = [array for name, array in graph.initializers.items() if name in read]
    stored += [value for node in graph.nodes for value in node.attributes.values() if isinstance(value, np.ndarray)]
    is_half = any(array.dtype == np.float16 for array in stored) or graph.input_type == np.float16
    return HALF_TOLERANCE if is_half else SINGLE_TOLERANCE


def mean_error(got: np.ndarray, expected: np.ndarray) -> float:
    """Root mean square of got - expected over max(1e-6, max|expected|): for graphs that round, see `nodewise`.

    Infinite where a value that is not finite stands on one side only.
    """
    if relative_error(got, expected) == float("inf"):
        return float("inf")
    a, b = (np.where(np.isfinite(side), side, 0.0).astype(np.float64) for side in (got, expected))
    scale = np.abs(b).max(initial=SMALLEST_SCALE)
    return float(np.sqrt(np.mean(np.square(a - b))) / scale) if a.size else 0.0


def random_inputs(model: FrozenModel, dtype: np.dtype) -> np.ndarray:
    """A batch of standard normal numbers, or of even uint8 ones, the same at every call; 3 rows unless the file says.

    Raises:
        UnsupportedModel: the file leaves the rank or a size other than the first open.
    """
    declared = model.input_shape
    if not declared or None in declared[1:]:
        raise UnsupportedModel(
            f"input {model.input_name!r} declares shape {declared}, too open to make a batch for the parity check; "
            f"give parity_inputs"
        )
    sizes = [BATCH if size is None else size for size in declared]
    draw = np.random.default_rng(0)
    return draw.integers(0, 256, sizes, np.uint8) if dtype == np.uint8 else draw.standard_normal(sizes).astype(dtype)


def output_shapes(
    model_bytes: bytes, inputs: np.ndarray, names: Sequence[str] | None = None
) -> dict[str, tuple[int, ...]]:
    """The shape of every output for one batch, by name in the file's order, as onnxruntime computes it.

    Args:
        names: of other tensors, made by nodes, to ask for instead.

    Raises:
        UnsupportedModel: see `read_graph`; or onnxruntime does not run the file on the batch.
    """
    graph = read_graph(model_bytes)
    values = runtime_values(model_bytes, graph.input_name, inputs, graph.outputs if names is None else tuple(names))
    return {name: value.shape for name, value in values.items()}


def differences(
    model: FrozenModel, model_bytes: bytes, inputs: np.ndarray, measure: Measure = relative_error
) -> dict[str, Difference]:
    """How far every tap and every output is from onnxruntime's on one batch.

    Args:
        model: the reading; it may lie on any device.
        model_bytes: the file that it was read from.
        inputs: of the file's input shape and type.

    Returns:
        By name, in graph order and taps first: where one differs, every output behind it differs too, and only the
        first says where to look.

    Raises:
        UnsupportedModel: onnxruntime or torch does not run the file on the batch.
        InputMismatch: the batch does not have the declared shape.
    """
    names = (*model.outputs, *(tap for tap in model.taps if tap not in model.outputs))
    expected = runtime_values(model_bytes, model.input_name, inputs, names)
    device = next((buffer.device for buffer in model.buffers()), torch.device("cpu"))
    try:
        with torch.no_grad():
            outputs, taps = model.forward_with_taps(torch.from_numpy(inputs).to(device))
    # What torch and our kernels raise on sizes and indices that do not fit.
    except (RuntimeError, IndexError, ValueError, TypeError) as error:
        raise UnsupportedModel(
            f"onnxruntime runs the model on {inputs.dtype}{list(inputs.shape)} and torch does not: {error} "
            f"({'; '.join(getattr(error, '__notes__', []))})"
        ) from error
    got = {name: value.cpu().numpy() for name, value in {**outputs, **taps}.items()}
    return {name: _difference(got[name], expected[name], measure) for name in (*model.taps, *model.outputs)}


def check_parity(
    model: FrozenModel, model_bytes: bytes, inputs: np.ndarray, tolerance: float, measure: Measure = relative_error
) -> None:
    """Compare every output and every tap on one batch; see `differences`.

    Args:
        tolerance: largest `measure` allowed for any tensor.

    Raises:
        ParityError: naming the first tensor, in graph order, that is beyond the tolerance or has another shape or type.
        UnsupportedModel, InputMismatch: as `differences`.
    """
    for name, found in differences(model, model_bytes, inputs, measure).items():
        if found.error > tolerance:
            raise ParityError(name, found.error, tolerance, found.detail)


def _difference(got: np.ndarray, expected: np.ndarray, measure: Measure) -> Difference:
    if got.shape != expected.shape or not _is_read_as(got.dtype, expected.dtype):
        detail = f"{got.dtype}{list(got.shape)} against {expected.dtype}{list(expected.shape)}"
        return Difference(float("inf"), detail)
    return Difference(measure(got, expected), "")


def _is_read_as(got: np.dtype, stored: np.dtype) -> bool:
    """Whether the reading holds values of a stored type in its own: half precision and quanta in single precision."""
    return got == stored or (got == np.float32 and (stored == np.float16 or stored.kind in "iu"))


def runtime_values(
    model_bytes: bytes, input_name: str, inputs: np.ndarray, names: tuple[str, ...], *, optimized: bool = True
) -> dict[str, np.ndarray]:
    """Tensors of the file by name, as onnxruntime computes them for one batch.

    Raises:
        UnsupportedModel: it does not run the file on the batch.
    """
    if not names:
        return {}  # onnxruntime takes no name at all for all of them.
    try:
        session = make_session(with_outputs(model_bytes, names), optimized=optimized)
        values: list[Any] = session.run(list(names), {input_name: inputs})
    except Exception as error:  # The runtime's own exceptions have no common base but this.
        raise UnsupportedModel(
            f"onnxruntime {onnxruntime.__version__} does not run the model on {inputs.dtype}{list(inputs.shape)}: "
            f"{error}; a model that cannot be served cannot be corrected"
        ) from error
    return {name: np.asarray(value) for name, value in zip(names, values, strict=True)}


def with_outputs(model_bytes: bytes, names: tuple[str, ...]) -> bytes:
    """A copy of the model that also returns these tensors; the very bytes if it already does."""
    model = parse_proto(model_bytes)
    present = {output.name for output in model.graph.output}
    extra = [name for name in names if name not in present]
    if not extra:
        return model_bytes
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in extra)
    serialized: bytes = model.SerializeToString()
    return serialized
