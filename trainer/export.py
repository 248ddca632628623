"""From a fitted corrector to a bundle: ONNX, parity with onnxruntime, golden vectors, manifest."""

import io
from importlib.metadata import version

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from service.contract.bundle import describe
from service.contract.job import JobSpec
from service.contract.manifest import CorrectorManifest, ModelManifest
from service.contract.verdict import Verdict
from trainer.corrector import Corrector
from trainer.onnx_writer import GraphWriter

OPSET = 17
GOLDEN_IMAGES = 4
PARITY_TOLERANCE = 1e-4
"""Largest absolute difference between torch and onnxruntime, as a share of the largest value."""
PACKAGES = ("torch", "onnx", "onnxruntime", "numpy")

Config = dict[str, str | int | float | bool | None]


class ExportError(Exception):
    """The exported graph does not compute what was fitted."""


def to_onnx(corrector: Corrector, manifest: ModelManifest, *, method: str, opset: int = OPSET) -> bytes:
    """The corrector as an ONNX file of its own, batch size free."""
    graph = GraphWriter(opset)
    output = corrector.write(graph, manifest.input.name)
    metadata = {"foreoptic.frozen_sha256": manifest.frozen_sha256, "foreoptic.method": method}
    return graph.to_bytes(inputs=manifest.input.name, output=output, shape=manifest.input.shape, metadata=metadata)


def run_onnx(content: bytes, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """The exported corrector on images (n, C, H, W), in onnxruntime."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: images})[0], dtype=np.float32)


def check_parity(corrector: Corrector, content: bytes, images: NDArray[np.float32]) -> float:
    """Compare both forms on images, in batches of 1, 2 and all; returns the largest absolute difference.

    Raises:
        ExportError: it is larger than PARITY_TOLERANCE times the largest value, or a value is not finite.
    """
    with torch.no_grad():
        expected = corrector(torch.from_numpy(images)).numpy()
    if not np.isfinite(expected).all():
        raise ExportError("the corrector yields values that are not finite")
    sizes = sorted({1, min(2, len(images)), len(images)})
    worst = max(float(np.max(np.abs(run_onnx(content, images[:n]) - expected[:n]))) for n in sizes)
    allowed = PARITY_TOLERANCE * max(1.0, float(np.max(np.abs(expected))))
    if not worst <= allowed:
        raise ExportError(f"torch and onnxruntime differ by {worst:.3g}, at most {allowed:.3g} is allowed")
    return worst


def golden_vectors(content: bytes, manifest: ModelManifest) -> bytes:
    """Inputs `x` and onnxruntime's outputs `y`, as the service rehearses them.

    The inputs are uniform noise over the input's range: nothing of the client's images may outlive the job.
    """
    low, high = (bound.reshape(1, -1, 1, 1) for bound in manifest.input.tensor_bounds())
    noise = np.random.default_rng(0).random((GOLDEN_IMAGES, *manifest.input.shape), dtype=np.float32)
    inputs = (low + (high - low) * noise).astype(np.float32)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, x=inputs, y=run_onnx(content, inputs))
    return buffer.getvalue()


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
        golden_tolerance=PARITY_TOLERANCE * 10,
        seed=job.seed,
        batch_sha256=job.batch_sha256,
        configuration=configuration,
        packages={name: version(name) for name in PACKAGES},
    )
    return manifest, files
