"""From a fitted corrector to a bundle: ONNX, parity with onnxruntime, golden vectors, manifest."""

import io
from importlib.metadata import version

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from service.contract.bundle import describe
from service.contract.input_spec import InputSpec, Tensor
from service.contract.job import JobSpec
from service.contract.manifest import CorrectorManifest, ModelManifest
from service.contract.verdict import Verdict
from trainer.corrector import Corrector
from trainer.onnx_writer import GraphWriter
from trainer.reading import held_as
from trainer.runtime import make_session

OPSET = 17
GOLDEN_IMAGES = 4
PARITY_TOLERANCE = 1e-4
"""Largest absolute difference between torch and onnxruntime, as a share of the largest value."""
HALF_TOLERANCE = 5e-3
MOST_TIES = 0.01
"""Share of uint8 values that may be rounded either way: sums in another order reach a tie about once in a thousand."""
PACKAGES = ("torch", "onnx", "onnxruntime", "numpy")

Config = dict[str, str | int | float | bool | None]


class ExportError(Exception):
    """The exported graph does not compute what was fitted."""


def to_onnx(corrector: Corrector, manifest: ModelManifest, *, method: str, opset: int = OPSET) -> bytes:
    """The corrector as an ONNX file of its own: the model's own tensor in and out, any number of rows.

    It computes on planes in float32 and hands over what the frozen model takes, so that whoever runs that model, a
    device as well as the service, puts this file in front of it and changes nothing else.
    """
    spec = manifest.input
    graph = GraphWriter(opset)
    output = _write_tensor(graph, spec, corrector.write(graph, _write_planes(graph, spec)))
    metadata = {"foreoptic.frozen_sha256": manifest.frozen_sha256, "foreoptic.method": method}
    return graph.to_bytes(inputs=spec.name, output=output, shape=spec.item_shape, dtype=spec.dtype, metadata=metadata)


def _write_planes(graph: GraphWriter, spec: InputSpec) -> str:
    """`InputSpec.to_planes` as nodes."""
    x = spec.name
    if spec.layout == "NHWC":
        x = graph.node("Transpose", x, perm=[0, 3, 1, 2])
    return x if spec.dtype == "float32" else graph.node("Cast", x, to=TensorProto.FLOAT)


def _write_tensor(graph: GraphWriter, spec: InputSpec, planes: str) -> str:
    """`InputSpec.to_tensor` as nodes."""
    if spec.dtype == "uint8":
        low, high = (graph.constant(np.array(bound, np.float32)) for bound in (0, 255))
        planes = graph.node("Clip", graph.node("Round", planes), low, high)
    if spec.dtype != "float32":
        planes = graph.node("Cast", planes, to=helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)))
    return planes if spec.layout == "NCHW" else graph.node("Transpose", planes, perm=[0, 2, 3, 1])


def run_onnx(content: bytes, planes: NDArray[np.float32], spec: InputSpec) -> NDArray[np.float32]:
    """The exported corrector on planes (n, C, H, W), in onnxruntime; planes again."""
    return spec.to_planes(_run(content, spec.to_tensor(planes)))


def _run(content: bytes, tensor: Tensor) -> Tensor:
    session = make_session(content)
    return np.asarray(session.run(None, {session.get_inputs()[0].name: tensor})[0])


def tolerance(spec: InputSpec, scale: float) -> float:
    """Largest absolute difference that two right ways of computing a corrector may have at values up to `scale`.

    In uint8 a tie may be rounded either way; half precision has 11 bits.
    """
    share = HALF_TOLERANCE if spec.dtype == "float16" else PARITY_TOLERANCE
    return 1.0 if spec.dtype == "uint8" else share * max(1.0, scale)


def check_parity(corrector: Corrector, content: bytes, images: NDArray[np.float32], spec: InputSpec) -> float:
    """Compare both forms on planes, in batches of 1, 2 and all; returns the largest absolute difference.

    Raises:
        ExportError: it is larger than `tolerance`, or a value is not finite.
    """
    with torch.no_grad():
        # Tensors cannot hold every plane: both forms start from what one can hold.
        held = spec.to_planes(spec.to_tensor(images))
        expected = held_as(corrector(torch.from_numpy(held)), spec.dtype).numpy()
    if not np.isfinite(expected).all():
        raise ExportError("the corrector yields values that are not finite")
    sizes = sorted({1, min(2, len(images)), len(images)})
    differences = [np.abs(run_onnx(content, images[:n], spec) - expected[:n]) for n in sizes]
    worst = max(float(np.max(difference)) for difference in differences)
    ties = max(float(np.mean(difference > 0)) for difference in differences)
    allowed = tolerance(spec, float(np.max(np.abs(expected))))
    if not worst <= allowed:
        raise ExportError(f"torch and onnxruntime differ by {worst:.3g}, at most {allowed:.3g} is allowed")
    if spec.dtype == "uint8" and ties > MOST_TIES:
        raise ExportError(
            f"torch and onnxruntime round {ties:.1%} of the pixels differently, at most {MOST_TIES:.0%} are"
        )
    return worst


def golden_vectors(content: bytes, manifest: ModelManifest) -> bytes:
    """Inputs `x` and onnxruntime's outputs `y`, as the service rehearses them.

    The inputs are uniform noise over the input's range: nothing of the client's images may outlive the job.
    """
    inputs = manifest.input.noise(GOLDEN_IMAGES)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, x=inputs, y=_run(content, inputs))
    return buffer.getvalue()


def _golden_tolerance(spec: InputSpec) -> float:
    """Ten times what two libraries on one processor may differ by, for other processors; one grey level in uint8."""
    scale = float(np.max(np.abs(spec.plane_bounds())))
    return tolerance(spec, scale) * (1 if spec.dtype == "uint8" else 10)


def assemble(
    corrector: Corrector,
    model: ModelManifest,
    job: JobSpec,
    *,
    content: bytes,
    golden: bytes,
    verdict: Verdict,
    configuration: Config,
) -> tuple[CorrectorManifest, dict[str, bytes]]:
    """Manifest and files of the bundle. The same fit gives the same bytes: there is no clock in them."""
    files = {"corrector.onnx": content, "golden.npz": golden, "verdict.json": verdict.model_dump_json().encode()}
    manifest = CorrectorManifest(
        frozen_sha256=model.frozen_sha256,
        input=model.input,
        files=describe(files),
        method=job.method,
        stages=corrector.names(),
        opset=OPSET,
        parameters=corrector.size(),
        golden_tolerance=_golden_tolerance(model.input),
        seed=job.seed,
        batch_sha256=job.batch_sha256,
        configuration=configuration,
        packages={name: version(name) for name in PACKAGES},
    )
    return manifest, files
